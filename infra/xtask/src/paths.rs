//! Where things lie.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        // As `cargo run` says it now: checkouts that share a target folder share this program too.
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        package.ancestors().nth(2).unwrap_or_else(|| Path::new(".")).to_path_buf()
    })
}

/// Cargo's target folder of this workspace.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A program that this workspace builds.
pub(crate) fn binary(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

/// What set-up downloads and makes, kept between checkouts: `~/.cache/micro`.
pub(crate) fn cache() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(dir).join("micro"));
    }
    Ok(home()?.join(".cache/micro"))
}

/// The user's home folder.
pub(crate) fn home() -> Result<PathBuf> {
    std::env::home_dir().context("there is no home folder: set HOME")
}

/// Programs that set-up installs by cargo, npm and pip.
pub(crate) fn tools() -> Result<PathBuf> {
    Ok(cache()?.join("tools"))
}

/// `PATH` with our own tools first.
pub(crate) fn search_path() -> Result<OsString> {
    let own = tools()?.join("bin");
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&inherited))).context("extend PATH")
}

/// The file that `name` on `PATH` (or in the folders of the system's daemons) stands for.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = search_path().unwrap_or_default();
    let daemons = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(daemons).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Cargo, in the root of the checkout, with the target folder that the other tasks use.
pub(crate) fn cargo() -> Result<Command> {
    let mut command = Command::new("cargo");
    command.current_dir(root()).env("CARGO_TARGET_DIR", target()).env("PATH", search_path()?);
    // What the cargo that runs this program says of it: build scripts look at such variables, and everything behind
    // them would be compiled anew whenever a task and a cargo of one's own take turns.
    let ours = |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
        command.env_remove(name);
    }
    Ok(command)
}
