//! What the operator decides of the control plane.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use micro_artifact::{Key, Store};

use crate::{BillingProvider, Clock, Elsewhere, NoBilling, PeopleConfig, Plans};

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
    /// What the portal proves itself with when it speaks for a visitor; empty: nobody can.
    pub portal_secret: String,
    /// The portal's address, as people reach it: where mails and messages point to.
    pub portal_url: String,
    /// How often what streams for long asks whether its credential still counts, beside being told of changes.
    pub credential_check: Duration,
    /// API keys of one namespace.
    pub keys_max: i64,
    /// Accounts of one namespace, beside its people.
    pub accounts_max: i64,
    /// Rules of one namespace.
    pub rules_max: i64,
    /// Who may sign up, mails, and how much people may have.
    pub people: PeopleConfig,
    /// What namespaces may use, and what it costs.
    pub plans: Arc<Plans>,
    /// Who collects what it costs.
    pub billing: Arc<dyn BillingProvider>,
    /// What tells this process from others on the same rows.
    pub node_id: String,
    /// Where services elsewhere are registered; none: in the control data.
    pub elsewhere: Option<Arc<dyn Elsewhere>>,
    /// What time it is, for schedules.
    pub clock: Clock,
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
            portal_secret: String::new(),
            portal_url: "http://localhost:8082".to_owned(),
            credential_check: Duration::from_secs(1),
            keys_max: 500,
            accounts_max: 1_000,
            rules_max: 200,
            people: PeopleConfig::default(),
            plans: Arc::default(),
            billing: Arc::new(NoBilling),
            node_id: uuid::Uuid::new_v4().to_string(),
            elsewhere: None,
            clock: Clock::default(),
            start_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(60),
            backoff: Duration::from_millis(200),
        }
    }
}
