//! `micro sdk export`, and where the SDK crates lie that services compile.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use include_dir::{Dir, include_dir};
use sha2::{Digest as _, Sha256};

/// The packaged crates, made by this crate's build script.
static SDK: Dir<'static> = include_dir!("$OUT_DIR/sdk");

/// Work with the SDK that this version of micro brings.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write the SDK crates to a folder, as a directory source for cargo
    Export {
        /// The folder; it is made if it is not there
        dir: PathBuf,
    },
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let Command::Export { dir } = args.command;
    export(&dir)
}

/// Writes the packaged crates below `dir`.
pub(crate) fn export(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    SDK.extract(dir).with_context(|| format!("writing the SDK to {}", dir.display()))
}

/// Makes `.micro/sdk` of a project a link to the SDK in `~/.micro/sdk/<digest>`, which is written if it is not there.
pub(crate) fn link(project: &Path) -> Result<()> {
    let folder = install(&crate::config::home()?.join("sdk"))?;
    point(project, &folder)
}

/// Makes sure that the SDK lies in a folder of its own below `versions`, and returns that.
fn install(versions: &Path) -> Result<PathBuf> {
    let folder = versions.join(digest());
    if folder.is_dir() {
        return Ok(folder);
    }
    std::fs::create_dir_all(versions).with_context(|| format!("making {}", versions.display()))?;
    let fresh = tempfile::tempdir_in(versions)?;
    export(fresh.path())?;
    let fresh = fresh.keep();
    if let Err(error) = std::fs::rename(&fresh, &folder) {
        // Another `micro` was faster, or the disk is at fault.
        std::fs::remove_dir_all(&fresh).ok();
        if !folder.is_dir() {
            return Err(error).with_context(|| format!("writing {}", folder.display()));
        }
    }
    Ok(folder)
}

/// Makes `.micro/sdk` of a project a link to `folder`. A folder that someone put there stays.
fn point(project: &Path, folder: &Path) -> Result<()> {
    let place = project.join(".micro/sdk");
    match std::fs::read_link(&place) {
        Ok(target) if target == folder => return Ok(()),
        Ok(_) => std::fs::remove_file(&place)?,
        Err(_) if place.is_dir() => return Ok(()),
        Err(_) => std::fs::create_dir_all(project.join(".micro"))?,
    }
    std::os::unix::fs::symlink(folder, &place).with_context(|| format!("linking {}", place.display()))
}

/// Names the SDK's contents: cargo does not notice a change inside a directory source, but it does notice a new path.
fn digest() -> String {
    let mut files = Vec::new();
    collect(&SDK, &mut files);
    files.sort_by_key(|file| file.path());
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.path().as_os_str().as_encoded_bytes());
        hash.update((file.contents().len() as u64).to_le_bytes());
        hash.update(file.contents());
    }
    hex::encode(hash.finalize()).chars().take(32).collect()
}

fn collect<'a>(dir: &'a Dir<'a>, files: &mut Vec<&'a include_dir::File<'a>>) {
    files.extend(dir.files());
    for dir in dir.dirs() {
        collect(dir, files);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_name_each_other_by_the_index() {
        let folder = tempfile::tempdir().unwrap();
        export(folder.path()).unwrap();
        let sdk = folder.path().join("micro-sdk-0.1.0");
        let manifest = std::fs::read_to_string(sdk.join("Cargo.toml")).unwrap();
        assert!(manifest.contains(
            r#"micro-sdk-macros = { version = "0.1.0", registry-index = "sparse+https://sdk.micro.invalid/" }"#
        ));
        assert!(!manifest.contains("path ="), "{manifest}");
        assert_eq!(std::fs::read_to_string(sdk.join(".cargo-checksum.json")).unwrap(), r#"{"files":{}}"#);
        assert!(sdk.join("src/lib.rs").is_file());
    }

    #[test]
    fn a_project_points_to_the_installed_sdk() {
        let folder = tempfile::tempdir().unwrap();
        let (versions, project) = (folder.path().join("sdk"), folder.path().join("project"));
        let installed = install(&versions).unwrap();
        assert_eq!(install(&versions).unwrap(), installed);
        assert_eq!(std::fs::read_dir(&versions).unwrap().count(), 1, "nothing half written is left");

        let place = project.join(".micro/sdk");
        point(&project, Path::new("/an/older/one")).unwrap();
        point(&project, &installed).unwrap();
        assert_eq!(std::fs::read_link(&place).unwrap(), installed);

        std::fs::remove_file(&place).unwrap();
        std::fs::create_dir(&place).unwrap();
        point(&project, &installed).unwrap();
        assert!(std::fs::read_link(&place).is_err(), "a folder of the author's own stays");
    }

    #[test]
    fn the_digest_is_stable() {
        assert_eq!(digest(), digest());
        assert_eq!(digest().len(), 32);
    }
}
