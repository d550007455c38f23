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
    forget_sdk()?;
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

/// Makes cargo compile the SDK again where it changed. It takes it for a registry's crate, whose content never does.
fn forget_sdk() -> Result<()> {
    let newest = newest_change(&paths::root().join("sdk/rust"))?;
    for target in [target(), paths::target().join("examples")] {
        let stamp = target.join(".sdk");
        if fs::metadata(&stamp).and_then(|seen| seen.modified()).is_ok_and(|seen| seen > newest) {
            continue;
        }
        for profile in ["release", "debug", "wasm32-wasip2/release", "wasm32-wasip2/debug"] {
            forget_in(&target.join(profile).join(".fingerprint"))?;
        }
        fs::create_dir_all(&target).with_context(|| format!("make {}", target.display()))?;
        fs::write(&stamp, "").context("note which SDK was seen")?;
    }
    Ok(())
}

fn forget_in(fingerprints: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(fingerprints) else { return Ok(()) };
    let ours = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("micro-sdk"));
    for entry in ours {
        fs::remove_dir_all(entry.path()).with_context(|| format!("remove {}", entry.path().display()))?;
    }
    Ok(())
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
