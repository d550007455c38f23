//! What the operator decides of the control plane.

use std::path::PathBuf;
use std::time::Duration;

use micro_artifact::{Key, Store};

/// Settings of [`crate::Control`], read once.
#[derive(Debug, Clone)]
pub struct Config {
    /// Version of the platform, what `GET /v1/version` says.
    pub version: String,
    /// Host names that requests may carry, without port: `localhost`, `127.0.0.1`, `[::1]` and what the operator added.
    pub hosts: Vec<String>,
    /// Origins (`http://localhost:8082`) of pages that may use this API beside its own.
    pub origins: Vec<String>,
    /// Folder of uploaded archives, `<id>.tar.gz`. Made when absent.
    pub uploads: PathBuf,
    /// Bytes of one upload.
    pub upload_bytes_max: u64,
    /// Bytes of all uploads of a namespace that lie on disk: what no build has used yet, or one still needs.
    pub uploads_bytes_max: u64,
    /// Bytes of any other request body.
    pub body_bytes_max: usize,
    /// Where revisions lie.
    pub artifacts: Store,
    /// What signs them.
    pub key: Key,
    /// The engines of this node. What was compiled for another is compiled again at the start. Empty: not looked at.
    pub engines: Vec<String>,
    /// How long a revision may take to load and warm.
    pub start_timeout: Duration,
    /// How long a drained revision may finish its calls.
    pub drain_timeout: Duration,
    /// Pause before the first restart of what failed; doubles with each one.
    pub backoff: Duration,
}

impl Config {
    /// The defaults: loopback names, 100 MiB an upload, 1 GiB of them, 16 MiB bodies, 60 s to start, 60 s to drain,
    /// 200 ms backoff.
    pub fn new(version: impl Into<String>, uploads: PathBuf, artifacts: Store, key: Key) -> Self {
        Self {
            version: version.into(),
            hosts: ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec(),
            origins: Vec::new(),
            uploads,
            upload_bytes_max: 100 * 1024 * 1024,
            uploads_bytes_max: 1024 * 1024 * 1024,
            body_bytes_max: 16 * 1024 * 1024,
            artifacts,
            key,
            engines: Vec::new(),
            start_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(60),
            backoff: Duration::from_millis(200),
        }
    }
}
