//! The components that the tests run: `integration/guests`, built into `guests` of the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::setup::{GuestToolchain, node_modules};
use crate::{paths, process};

const TARGET: &str = "wasm32-wasip2";

/// Cargo's target folder of everything that is compiled for guests.
pub(crate) fn target() -> PathBuf {
    paths::target().join("guests")
}

/// Builds all guests; what did not change is kept.
pub(crate) fn build(toolchain: &GuestToolchain) -> Result<()> {
    let mut cargo = toolchain.cargo();
    cargo.args(["build", "--release", "--locked", "--target", TARGET, "--manifest-path"]);
    cargo.arg(paths::root().join("integration/guests/Cargo.toml")).env("CARGO_TARGET_DIR", target());
    process::run(&mut cargo)?;
    let mut services = examples()?;
    services.extend(["prober", "looper"].map(|name| paths::root().join("integration/guests").join(name)));
    for service in services {
        let mut micro = Command::new(paths::binary("micro"));
        micro.arg("build").arg(&service).args(["--", "--locked"]).env("CARGO_TARGET_DIR", target());
        if let GuestToolchain::Packages(dir) = toolchain {
            micro.env("MICRO_TOOLCHAIN", dir);
        }
        process::run(&mut micro)?;
    }
    componentize()
}

/// The folders of `examples/` that are services.
pub(crate) fn examples() -> Result<Vec<PathBuf>> {
    let dir = paths::root().join("examples");
    let entries = fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))?;
    let folders = entries.flatten().map(|entry| entry.path());
    let mut services: Vec<_> = folders.filter(|path| path.join("Cargo.toml").exists()).collect();
    services.sort();
    Ok(services)
}

/// The JavaScript guests; each takes some ten seconds, so only those older than their sources are made again.
fn componentize() -> Result<()> {
    let source = paths::root().join("integration/guests/js");
    let newest = newest_change(&source)?.max(newest_change(&paths::root().join("wit/sync"))?);
    let out = target().join("js");
    let stamp = out.join(".built");
    if fs::metadata(&stamp).and_then(|built| built.modified()).is_ok_and(|built| built > newest) {
        return Ok(());
    }
    fs::create_dir_all(&out).with_context(|| format!("make {}", out.display()))?;
    let mut node = Command::new("node");
    node.arg(source.join("build.mjs")).arg(node_modules()?).arg(paths::root().join("wit/sync")).arg(&out);
    process::run(&mut node).context("make the JavaScript guests")?;
    fs::write(&stamp, "").context("note that the JavaScript guests are made")
}

fn newest_change(dir: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry.with_context(|| format!("list {}", dir.display()))?.path();
        let changed = if path.is_dir() {
            newest_change(&path)?
        } else {
            path.metadata()
                .and_then(|file| file.modified())
                .with_context(|| format!("look at {}", path.display()))?
        };
        newest = newest.max(changed);
    }
    Ok(newest)
}
