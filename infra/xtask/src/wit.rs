//! What is derived from `wit/`: `wit/sync`, the package for languages whose tools know no asynchronous functions yet,
//! and the bindings of the Rust SDK.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{paths, process};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Change nothing; fail if something would change.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    sync_package(options.check)?;
    bindings(options.check)
}

/// The generator is a workspace of its own: nobody else waits for it to compile.
fn bindings(check: bool) -> Result<()> {
    let mut cargo = paths::cargo()?;
    cargo.args(["run", "--quiet", "--locked", "--manifest-path", "sdk/rust/bindgen/Cargo.toml", "--"]);
    cargo.env("CARGO_TARGET_DIR", paths::target().join("bindgen"));
    process::run(cargo.args(check.then_some("--check")))
}

fn sync_package(check: bool) -> Result<()> {
    let source = paths::root().join("wit");
    let derived = source.join("sync");
    let want: BTreeMap<_, _> =
        wit_files(&source)?.into_iter().map(|(name, text)| (name, derive(&text))).collect();
    let have = wit_files(&derived).unwrap_or_default();
    if want == have {
        return Ok(());
    }
    if check {
        bail!("wit/sync differs from what wit/ says: run `cargo xtask wit` and commit");
    }
    fs::create_dir_all(&derived).context("make wit/sync")?;
    for name in have.keys().filter(|name| !want.contains_key(*name)) {
        fs::remove_file(derived.join(name)).with_context(|| format!("remove wit/sync/{name}"))?;
    }
    for (name, text) in &want {
        fs::write(derived.join(name), text).with_context(|| format!("write wit/sync/{name}"))?;
    }
    println!("wit/sync is up to date");
    Ok(())
}

/// The `.wit` files of one folder, by name.
fn wit_files(dir: &Path) -> Result<BTreeMap<String, String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let path = entry.with_context(|| format!("list {}", dir.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".wit") {
            files
                .insert(name, fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?);
        }
    }
    Ok(files)
}

/// The same interfaces with plain functions, in a package of its own.
fn derive(text: &str) -> String {
    text.replace("package micro:platform@", "package micro:platform-sync@")
        .replace(": async func(", ": func(")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_package_and_async_change() {
        let text = "package micro:platform@0.1.0;\n/// an async func\ninterface a { b: async func(c: u8); d: func(); }\n";
        let want = "package micro:platform-sync@0.1.0;\n/// an async func\ninterface a { b: func(c: u8); d: func(); }\n";
        assert_eq!(derive(text), want);
    }

    #[test]
    fn the_checked_in_package_is_the_derived_one() {
        sync_package(true).unwrap();
    }
}
