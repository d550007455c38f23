//! What all builds share.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use micro_artifact::{Digest, Key, Store};

use crate::config::{Config, Toolchain};
use crate::error::{Doing, Error};
use crate::folders::Folders;
use crate::inside;
use crate::sandbox::{self, Mount};
use crate::tree_digest;

/// Where things lie inside every sandbox.
pub(crate) const SOURCE: &str = "/work/source";
pub(crate) const TARGET: &str = "/work/target";
pub(crate) const CARGO_HOME: &str = "/work/cargo";
pub(crate) const OUT: &str = "/work/out";
const BIN: &str = "/micro/bin";
const CONFIG: &str = "/micro/config";
/// The index that services name for the SDK. It is on no network.
const SDK_INDEX: &str = "sparse+https://sdk.micro.invalid/";

#[derive(Debug)]
pub(crate) struct Builder {
    pub(crate) config: Config,
    pub(crate) host: sandbox::Host,
    pub(crate) folders: Folders,
    pub(crate) store: Store,
    pub(crate) key: Key,
    pub(crate) sdk: Option<Sdk>,
    /// Empty while there is none: components that are there already need no compiler.
    toolchain: OnceLock<Toolchain>,
    /// Files that are mounted at [`CONFIG`].
    files: PathBuf,
}

/// The SDK crates on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Sdk {
    pub(crate) folder: PathBuf,
    pub(crate) digest: Digest,
}

impl Sdk {
    /// Cargo does not look again at a directory source that changed, so each content has a path of its own.
    fn inside(&self) -> String {
        format!("/micro/sdk/{}", self.digest.hex())
    }
}

impl Builder {
    pub(crate) async fn open(config: Config) -> Result<Self> {
        let host = sandbox::Host::new(&config.data.join("build"), config.free_bytes_min)?;
        // First what earlier builders left running, then what it might still write to.
        host.reap().await;
        let folders = Folders::open(&config.data)?;
        let artifacts =
            micro_artifact::Config::of(config.data.join("artifacts"), config.artifacts.as_deref())?;
        let store = Store::open(&artifacts)?;
        let key = Key::open(&config.data.join("artifact.key"))?;
        let sdk = match export_sdk(&config.micro, &folders.build().join("sdk")).await {
            Ok(sdk) => Some(sdk),
            Err(error) => {
                tracing::warn!("Services that use the SDK cannot be built: {error:#}");
                None
            }
        };
        let files = folders.build().join("config");
        write_files(&files, &config, sdk.as_ref())?;
        let toolchain = OnceLock::new();
        let builder = Self { config, host, folders, store, key, sdk, toolchain, files };
        if let Err(error) = builder.toolchain().await {
            tracing::warn!("{error}");
        }
        Ok(builder)
    }

    /// Asks the artifact store, which may have to wait for a bucket.
    pub(crate) async fn ask_store<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || question(&store)).await.doing("ask the artifact store")
    }

    /// The compiler. One that was missing is looked for again, so that installing it needs no restart.
    pub(crate) async fn toolchain(&self) -> Result<&Toolchain, Error> {
        if let Some(found) = self.toolchain.get() {
            return Ok(found);
        }
        let named = self.config.toolchain.clone();
        let found = tokio::task::spawn_blocking(move || Toolchain::find(named.as_deref()));
        match found.await.doing("look for a Rust toolchain")? {
            Ok(found) => Ok(self.toolchain.get_or_init(|| found)),
            Err(error) => Err(Error::Toolchain(format!("{error:#}"))),
        }
    }

    /// The compiler's name for cache keys; empty while there is none.
    pub(crate) fn toolchain_version(&self) -> &str {
        self.toolchain.get().map(|toolchain| toolchain.version.as_str()).unwrap_or_default()
    }

    /// This program inside.
    pub(crate) fn program() -> String {
        format!("{BIN}/micro-builder")
    }

    /// A command of [`inside`].
    pub(crate) fn inside(arguments: &[&str]) -> Vec<String> {
        let head = [Self::program(), "inside".to_owned()];
        head.into_iter().chain(arguments.iter().map(|text| (*text).to_owned())).collect()
    }

    /// Git's proxy command inside.
    pub(crate) fn dial() -> String {
        format!("{BIN}/{}", inside::DIAL)
    }

    /// A configuration file inside.
    pub(crate) fn file(name: &str) -> String {
        format!("{CONFIG}/{name}")
    }

    pub(crate) fn has_ca(&self) -> bool {
        self.config.ca_file.is_some()
    }

    /// What every sandbox sees beside `/usr`: our programs and configuration.
    pub(crate) fn mounts(&self) -> Vec<Mount> {
        let mut mounts = vec![
            Mount::read(&self.config.builder, Self::program()),
            Mount::read(&self.config.builder, Self::dial()),
            Mount::read(&self.files, CONFIG),
        ];
        if self.config.micro.is_file() {
            mounts.push(Mount::read(&self.config.micro, format!("{BIN}/micro")));
        }
        mounts
    }

    /// The compiler and the SDK.
    pub(crate) fn toolchain_mounts(&self) -> Vec<Mount> {
        let mut mounts = Vec::new();
        // A system's own compiler is there already.
        if let Some(toolchain) = self.toolchain.get().filter(|found| !found.folder.starts_with("/usr")) {
            mounts.push(Mount::read(&toolchain.folder, toolchain.folder.display().to_string()));
        }
        mounts.extend(self.sdk.as_ref().map(|sdk| Mount::read(&sdk.folder, sdk.inside())));
        mounts.extend(
            self.config.cargo.folders().iter().map(|path| Mount::read(path, path.display().to_string())),
        );
        mounts
    }

    /// The environment of every sandbox.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let toolchain = self.toolchain.get().map(|found| format!("{}/bin:", found.folder.display()));
        let path = format!("{BIN}:{}/usr/local/bin:/usr/bin:/bin", toolchain.unwrap_or_default());
        [
            ("PATH", path.as_str()),
            ("HOME", "/tmp"),
            ("LANG", "C.UTF-8"),
            ("MICRO", &format!("{BIN}/micro")),
            ("CARGO_HOME", CARGO_HOME),
            ("CARGO_TARGET_DIR", TARGET),
            ("CARGO_TERM_COLOR", "never"),
            ("CARGO_BUILD_TARGET", crate::config::TARGET),
            // The toolchain's programs are called by their path; should one be rustup's after all, it stays offline.
            ("RUSTUP_AUTO_INSTALL", "0"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// The arguments that tell cargo where crates come from.
    pub(crate) fn cargo_config(&self) -> Vec<String> {
        ["sdk.toml", "cargo.toml"]
            .into_iter()
            .flat_map(|name| ["--config".to_owned(), Self::file(name)])
            .collect()
    }
}

fn write_files(folder: &Path, config: &Config, sdk: Option<&Sdk>) -> Result<()> {
    std::fs::create_dir_all(folder).context("make the folder of configuration files")?;
    let mut files = vec![
        ("sdk.toml", sdk.map(sdk_config).unwrap_or_default().into_bytes()),
        ("cargo.toml", config.cargo.text().into_bytes()),
        ("gitconfig", git_config().into_bytes()),
    ];
    if let Some(path) = &config.ca_file {
        files.push(("ca.crt", std::fs::read(path).with_context(|| format!("read {}", path.display()))?));
    }
    if let Some(path) = &config.known_hosts {
        files.push(("known_hosts", std::fs::read(path).with_context(|| format!("read {}", path.display()))?));
    }
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&path, readable).with_context(|| format!("open up {}", path.display()))?;
    }
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder, readable).context("open up the folder of configuration files")
}

/// Git's only configuration. A file, because git passes on no settings to the side that serves a repository of this
/// disk, which belongs to somebody else than the sandbox's user.
fn git_config() -> String {
    format!(
        "[safe]\n\tdirectory = *\n[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\tgitProxy = {}\n\
         [credential]\n\thelper =\n[fetch]\n\trecurseSubmodules = false\n[gc]\n\tauto = 0\n\
         [maintenance]\n\tauto = false\n[uploadpack]\n\tallowAnySHA1InWant = true\n",
        Builder::dial()
    )
}

/// What a service's own `.cargo/config.toml` says, with our folder.
fn sdk_config(sdk: &Sdk) -> String {
    format!(
        "[registries.micro]\nindex = \"{SDK_INDEX}\"\n\
         [source.micro]\nregistry = \"{SDK_INDEX}\"\nreplace-with = \"micro-sdk\"\n\
         [source.micro-sdk]\ndirectory = \"{}\"\n",
        sdk.inside()
    )
}

/// Asks `micro` for the SDK that it carries.
async fn export_sdk(micro: &Path, folder: &Path) -> Result<Sdk> {
    let fresh =
        tempfile::Builder::new().prefix(".new-").tempdir_in(folder).context("make a folder for the SDK")?;
    let exported = tokio::process::Command::new(micro)
        .args(["sdk", "export"])
        .arg(fresh.path())
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("run {}", micro.display()))?;
    if !exported.status.success() {
        bail!("{} sdk export: {}", micro.display(), String::from_utf8_lossy(&exported.stderr).trim());
    }
    let digest = tree_digest::of(fresh.path()).context("read the SDK")?;
    let place = folder.join(digest.hex());
    if !place.is_dir() {
        let fresh = fresh.keep();
        std::fs::rename(&fresh, &place).context("put the SDK in place")?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&place, readable).context("open up the SDK")?;
    }
    // What earlier versions brought.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path() != place {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    Ok(Sdk { folder: place, digest })
}
