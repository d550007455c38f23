//! Components that `cargo xtask` built, and folders and repositories that hold them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::platform::target;

/// The components that the tests use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// `wasi:http` 0.2, every scenario by path.
    HttpP2,
    /// `wasi:http` 0.3, every scenario by path.
    HttpP3,
    /// JavaScript on `micro:platform-sync`.
    JsService,
    /// JavaScript by the fetch event.
    JsWeb,
}

impl Guest {
    /// The file that holds the component.
    pub fn path(self) -> PathBuf {
        let file = match self {
            Self::HttpP2 => "wasm32-wasip2/release/http_p2.wasm",
            Self::HttpP3 => "wasm32-wasip2/release/http_p3.wasm",
            Self::JsService => "js/hello.wasm",
            Self::JsWeb => "js/web.wasm",
        };
        target().join("guests").join(file)
    }

    /// The component's bytes.
    pub fn bytes(self) -> Result<Vec<u8>> {
        let path = self.path();
        fs::read(&path)
            .with_context(|| format!("read {}: run `cargo xtask test` once, it builds it", path.display()))
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
