//! `micro build`: compiles a service of this machine to a component.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::sdk;

const TARGET: &str = "wasm32-wasip2";

/// Compile a service to a WebAssembly component
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of the service
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Only link the SDK to .micro/sdk, for cargo and editors
    #[arg(long)]
    sdk_only: bool,
    /// More arguments for cargo
    #[arg(last = true)]
    cargo: Vec<OsString>,
}

/// Prints the component's path on stdout; cargo's progress goes to stderr.
pub(crate) async fn run(args: Args) -> Result<()> {
    let manifest = args.path.join("Cargo.toml");
    if !manifest.is_file() {
        bail!("{} is no Rust service: it has no Cargo.toml", args.path.display());
    }
    let cargo = toolchain()?;
    sdk::link(&workspace(&cargo, &args.path)?)?;
    if args.sdk_only {
        return Ok(());
    }
    let components = tokio::task::spawn_blocking(move || compile(&cargo, &args.path, &args.cargo)).await??;
    for component in components {
        println!("{}", component.display());
    }
    Ok(())
}

/// The cargo that can compile for the target: the one on PATH, else the fallback that set-up made.
fn toolchain() -> Result<PathBuf> {
    if has_target("rustc") {
        return Ok("cargo".into());
    }
    fallback_cargo()
        .with_context(|| format!("no Rust here compiles for {TARGET}: run `rustup target add {TARGET}`"))
}

/// Whether this rustc has the target's standard library.
pub(super) fn has_target(rustc: &str) -> bool {
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    output.is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success() && std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some())
    })
}

/// The cargo in `MICRO_TOOLCHAIN`, else in the cache folder's `micro/guest-toolchain` that set-up makes, if it is there.
pub(crate) fn fallback_cargo() -> Option<PathBuf> {
    let folder = match std::env::var_os("MICRO_TOOLCHAIN") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            cache.or_else(|| Some(std::env::home_dir()?.join(".cache")))?.join("micro/guest-toolchain")
        }
    };
    Some(folder.join("bin/cargo")).filter(|cargo| cargo.is_file())
}

/// The folder where cargo looks for `.cargo/config.toml` of this service: its workspace's root.
fn workspace(cargo: &Path, service: &Path) -> Result<PathBuf> {
    let output = Command::new(cargo)
        .args(["locate-project", "--workspace", "--message-format", "plain"])
        .current_dir(service)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("running {}", cargo.display()))?;
    let manifest = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    match manifest.parent() {
        Some(root) if output.status.success() => Ok(root.to_owned()),
        _ => bail!("cargo cannot read {}", service.join("Cargo.toml").display()),
    }
}

/// Runs cargo and returns the components it made.
fn compile(cargo: &Path, service: &Path, arguments: &[OsString]) -> Result<Vec<PathBuf>> {
    let mut child = Command::new(cargo)
        .args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .args(arguments)
        .current_dir(service)
        .env("MICRO", std::env::current_exe()?)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("running {}", cargo.display()))?;
    let stdout = child.stdout.take().context("cargo has a pipe for stdout")?;
    let mut components = Vec::new();
    for line in BufReader::new(stdout).lines() {
        components.extend(artifacts(&line?));
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the build failed: {status}");
    }
    Ok(components)
}

/// The `.wasm` files that one of cargo's messages names.
fn artifacts(message: &str) -> Vec<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).unwrap_or_default();
    if message["reason"] != "compiler-artifact" {
        return Vec::new();
    }
    let files = message["filenames"].as_array().map(Vec::as_slice).unwrap_or_default();
    files
        .iter()
        .filter_map(|file| file.as_str())
        .filter(|file| file.ends_with(".wasm"))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_components_are_taken_from_cargos_messages() {
        let artifact = r#"{"reason":"compiler-artifact","filenames":["/t/a.wasm","/t/a.rlib"]}"#;
        assert_eq!(artifacts(artifact), [PathBuf::from("/t/a.wasm")]);
        assert!(artifacts(r#"{"reason":"build-finished","success":true}"#).is_empty());
        assert!(artifacts("no json").is_empty());
    }

    #[tokio::test]
    async fn a_folder_without_a_crate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let args = Args { path: folder.path().to_owned(), sdk_only: false, cargo: Vec::new() };
        let error = run(args).await.unwrap_err().to_string();
        assert!(error.contains("has no Cargo.toml"), "{error}");
    }
}
