//! The compiler for guests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The target of guests.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// A toolchain of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Toolchain {
    /// Has `bin/cargo`. Mounted at the same path, for wrappers that name themselves.
    pub(crate) folder: PathBuf,
    /// The host's own target, for build scripts and macros.
    pub(crate) host: String,
    /// Names the compiler, for cache keys.
    pub(crate) version: String,
}

impl Toolchain {
    /// The one that the operator named, else the default of `rustc` on `PATH`.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self> {
        let folder = match named {
            Some(folder) => std::path::absolute(folder).context("resolve --toolchain")?,
            None => PathBuf::from(ask(Path::new("rustc"), &["--print", "sysroot"])?.trim()),
        };
        let rustc = folder.join("bin/rustc");
        if !folder.join("bin/cargo").exists() {
            bail!("{} has no bin/cargo: name a Rust toolchain with --toolchain", folder.display());
        }
        let version = ask(&rustc, &["--version", "--verbose"])?;
        let host =
            version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
        let sysroot = ask(&rustc, &["--print", "sysroot"])?;
        if !Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET).is_dir() {
            tracing::warn!("The toolchain lacks the target {TARGET}: run rustup target add {TARGET}");
        }
        Ok(Self { host: host.to_owned(), version: version.trim().to_owned(), folder })
    }

    pub(crate) fn cargo(&self) -> String {
        self.folder.join("bin/cargo").display().to_string()
    }
}

/// Runs a program of the toolchain from `/`, where no project configures it.
fn ask(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).current_dir("/").output().with_context(|| {
        format!("run {}: is Rust installed? --toolchain names a toolchain", program.display())
    })?;
    if !output.status.success() {
        bail!("{} failed: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} printed no text", program.display()))
}
