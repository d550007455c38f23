//! Components that `cargo xtask` built, and folders and repositories that hold them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::platform::target;

/// Every grant of the platform, for components that import all of its world: `config` beside it is the test's own.
pub const ALL_GRANTS: &str = "blob = true\nbroker = { publish = [\"*\"] }\ncall = [\"*\"]\n\
    events = { publish = [\"*\"], consume = [\"*\"] }\nregistry = \"read\"\nstore = [\"own\"]\nsync = true\n";

/// The components that the tests use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// `wasi:blobstore`, every call by path.
    Blobstore,
    /// `wasi:http` 0.2, every scenario by path.
    HttpP2,
    /// `wasi:http` 0.3, every scenario by path.
    HttpP3,
    /// JavaScript on `micro:platform-sync`.
    JsService,
    /// JavaScript by the fetch event.
    JsWeb,
    /// A service that tries the platform's bounds.
    Prober,
    /// A service that loops over one import.
    Looper,
    /// A service of `examples/`, by the name of its crate.
    Example(&'static str),
}

impl Guest {
    /// The file that holds the component.
    pub fn path(self) -> PathBuf {
        let file = match self {
            Self::Blobstore => "wasm32-wasip2/release/blobstore.wasm".to_owned(),
            Self::HttpP2 => "wasm32-wasip2/release/http_p2.wasm".to_owned(),
            Self::HttpP3 => "wasm32-wasip2/release/http_p3.wasm".to_owned(),
            Self::JsService => "js/hello.wasm".to_owned(),
            Self::JsWeb => "js/web.wasm".to_owned(),
            Self::Prober => "wasm32-wasip2/release/prober.wasm".to_owned(),
            Self::Looper => "wasm32-wasip2/release/looper.wasm".to_owned(),
            Self::Example(name) => format!("wasm32-wasip2/release/{}.wasm", name.replace('-', "_")),
        };
        target().join("guests").join(file)
    }

    /// The component's bytes.
    pub fn bytes(self) -> Result<Vec<u8>> {
        let path = self.path();
        fs::read(&path)
            .with_context(|| format!("read {}: run `cargo xtask test` once, it builds it", path.display()))
    }

    /// Makes `dir` a source with this example's component and its own `micro.toml`.
    pub fn place_example(self, dir: &Path) -> Result<()> {
        let Self::Example(name) = self else { return self.place(dir, "") };
        let manifest = crate::repo::checkout("examples").join(name).join("micro.toml");
        self.place(dir, &fs::read_to_string(manifest).context("read the example's micro.toml")?)
    }

    /// Makes `dir` a source with nothing but this component and, if it is not empty, a `micro.toml`.
    pub fn place(self, dir: &Path, manifest: &str) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        fs::write(dir.join("service.wasm"), self.bytes()?).context("write the component")?;
        if !manifest.is_empty() {
            fs::write(dir.join("micro.toml"), manifest).context("write micro.toml")?;
        }
        Ok(())
    }
}
