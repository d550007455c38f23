//! Where the log is.

use std::sync::Arc;
use std::time::Duration;

use crate::events::Plans;

/// Where the events are, and the bounds of their use.
#[derive(Clone)]
pub struct PostgresConfig {
    /// `postgres://user:password@host/database`; `sslmode=verify-full` asks for TLS.
    pub url: String,
    /// The schema that holds the tables, made when it is missing: up to 63 of `a-z0-9_`, no digit first.
    pub schema: String,
    /// Connections of this process, beside one that listens. One namespace has at most half of them at once.
    pub connections_max: u32,
    /// How long a call waits for its namespace's turn, and for a connection.
    pub acquire_timeout: Duration,
    /// How long one question to the server may take.
    pub call_timeout: Duration,
    /// How long after its last sign of life a process that died keeps what it took. It gives one each third of that.
    pub node_lease: Duration,
    /// How often old events are looked for where nobody appends.
    pub sweep_every: Duration,
    /// How long each namespace's events are kept.
    pub plans: Arc<Plans>,
}

impl PostgresConfig {
    /// The defaults: schema `micro_events`, 8 connections, 3 s for a connection, 10 s a call, a lease of 5 s, a sweep
    /// each minute.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            schema: "micro_events".to_owned(),
            connections_max: 8,
            acquire_timeout: Duration::from_secs(3),
            call_timeout: Duration::from_secs(10),
            node_lease: Duration::from_secs(5),
            sweep_every: Duration::from_secs(60),
            plans: Arc::default(),
        }
    }
}

impl std::fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.debug_struct("PostgresConfig").field("schema", &self.schema).finish_non_exhaustive()
    }
}
