//! The toolchain that compiles guests to `wasm32-wasip2`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{paths, process};

/// The target of guests.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Which cargo compiles guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GuestToolchain {
    /// The developer's own, with the target added.
    Own,
    /// Made from distribution packages; the folder has `bin/cargo`.
    Packages(PathBuf),
}

impl GuestToolchain {
    /// A cargo command for guests.
    pub(crate) fn cargo(&self) -> Command {
        match self {
            Self::Own => Command::new("cargo"),
            Self::Packages(dir) => Command::new(dir.join("bin/cargo")),
        }
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Own => "the installed Rust toolchain".to_owned(),
            Self::Packages(dir) => dir.display().to_string(),
        }
    }
}

pub(super) fn ensure(force_fallback: bool) -> Result<GuestToolchain> {
    if !force_fallback {
        if has_target() {
            return Ok(GuestToolchain::Own);
        }
        if paths::find_program("rustup").is_some() {
            super::announce(&format!("Rust target {TARGET} (rustup)"))?;
            let added = process::run(
                Command::new("rustup").args(["target", "add", TARGET]).current_dir(paths::root()),
            );
            match added {
                Ok(()) if has_target() => return Ok(GuestToolchain::Own),
                Ok(()) => eprintln!("set-up: rustup added {TARGET} to another toolchain than the one in use"),
                Err(error) => eprintln!("set-up: {error:#}; falling back to distribution packages"),
            }
        }
    }
    fallback()
}

/// Whether the toolchain in use has the standard library of the guests' target.
fn has_target() -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(paths::root());
    process::output(&mut rustc).is_ok_and(|dir| Path::new(dir.trim()).join("self-contained").is_dir())
}

fn fallback() -> Result<GuestToolchain> {
    let dir = paths::cache()?.join("guest-toolchain");
    if !dir.join(".complete").exists() {
        super::announce(&format!("guest toolchain from distribution packages, into {}", dir.display()))?;
        let script = paths::root().join("infra/guest-toolchain/install.sh");
        process::run(Command::new("bash").arg(script).arg(&dir)).context("make the guest toolchain")?;
    }
    Ok(GuestToolchain::Packages(dir))
}
