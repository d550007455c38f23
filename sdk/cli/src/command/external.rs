//! A word that is no command: `micro-<word>` on PATH, never a program of another name.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

pub(crate) fn run(args: Vec<OsString>) -> Result<()> {
    let mut args = args.into_iter();
    let word = args.next().unwrap_or_default();
    let word = word.to_string_lossy();
    let Some(program) = find(&word, std::env::var_os("PATH").as_deref()) else {
        bail!("Unrecognized micro command: {word}. Please refer to 'micro --help'");
    };
    let error = Command::new(&program).args(args).exec();
    Err(error).with_context(|| format!("starting {}", program.display()))
}

/// `micro-<word>` in the absolute folders of `path`: a relative one would run what lies in the working folder.
/// `micro-server` and `micro-builder` are no plugins.
fn find(word: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if word.is_empty() || !word.bytes().all(plain) || matches!(word, "server" | "builder") {
        return None;
    }
    std::env::split_paths(path?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(format!("micro-{word}")))
        .find(|program| {
            let metadata = program.metadata();
            metadata.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_of_the_right_name_are_found() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["micro-foo", "foo", "micro-server"] {
            let program = folder.path().join(name);
            std::fs::write(&program, "").unwrap();
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        }
        std::fs::write(folder.path().join("micro-data"), "").unwrap();
        let path = Some(folder.path().as_os_str());
        assert_eq!(find("foo", path), Some(folder.path().join("micro-foo")));
        for word in ["data", "bar", "../foo", "", "server", "Foo"] {
            assert_eq!(find(word, path), None, "{word}");
        }
        assert_eq!(find("foo", Some(OsStr::new("."))), None);
    }
}
