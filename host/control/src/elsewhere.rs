//! Where services that run elsewhere are registered, in control's own words: the control data, or what the server gives.

use std::time::Duration;

use async_trait::async_trait;
use micro_api::registry::Service;
use micro_api::{Error, Namespace};
use micro_db::{Db, External};

use crate::error::chain;

const ID: &str = "registry";
/// How long a node that was not registered again is kept in the control data, unseen.
const KEPT_MS: i64 = 60 * 60 * 1_000;

/// All that is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// For asking whether there is more; of one process.
    pub revision: i64,
    /// In the order of their keys.
    pub externals: Vec<External>,
}

/// Keeps registrations for all nodes. Errors are for clients: no text from inside the host.
#[async_trait]
pub trait Elsewhere: std::fmt::Debug + Send + Sync + 'static {
    /// Writes the nodes of `service` over what they were; other nodes of the version stay, with its new metadata and
    /// endpoints. They end after `ttl`, by the clock of whatever keeps them; none: never. 403 where the namespace has
    /// too many.
    async fn register(
        &self,
        namespace: &Namespace,
        service: &Service,
        ttl: Option<Duration>,
    ) -> Result<(), Error>;

    /// Removes the named nodes of a version, or all of them when none is named; how many there were.
    async fn deregister(
        &self,
        namespace: &Namespace,
        service: &str,
        version: &str,
        nodes: &[String],
    ) -> Result<u64, Error>;

    /// All that is registered now, of all namespaces; none where it is what it was at revision `seen`. Whoever asks again
    /// and again, and when something ends, misses nothing that is still there.
    async fn since(&self, seen: Option<i64>) -> Result<Option<Registered>, Error>;

    /// Waits until something may have changed. May never end: whoever follows asks by itself now and then.
    async fn woken(&self) {
        std::future::pending().await
    }

    /// Removes what ended long ago.
    async fn sweep(&self) -> Result<(), Error>;

    /// Whether it answers now; why not, for the operator.
    async fn check(&self) -> Result<(), String>;
}

/// What went wrong, for clients; the rest is in the log.
fn told(error: micro_db::Error) -> Error {
    let outside = error.to_api(ID);
    if outside.code >= 500 {
        tracing::error!(error = chain(&error), "The registrations failed at the database");
    }
    outside
}

#[async_trait]
impl Elsewhere for Db {
    async fn register(
        &self,
        namespace: &Namespace,
        service: &Service,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        let ttl_ms = ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        self.register_external(namespace, service, ttl_ms).await.map_err(told)
    }

    async fn deregister(
        &self,
        namespace: &Namespace,
        service: &str,
        version: &str,
        nodes: &[String],
    ) -> Result<u64, Error> {
        self.deregister_external(namespace, service, version, nodes).await.map_err(told)
    }

    async fn since(&self, seen: Option<i64>) -> Result<Option<Registered>, Error> {
        // Read first: what changes in between is read again.
        let revision = self.registry_revision().await.map_err(told)?;
        if seen == Some(revision) {
            return Ok(None);
        }
        Ok(Some(Registered { revision, externals: self.externals().await.map_err(told)? }))
    }

    async fn sweep(&self) -> Result<(), Error> {
        self.sweep_externals(KEPT_MS).await.map_err(told)
    }

    async fn check(&self) -> Result<(), String> {
        self.ping().await.map_err(|error| error.to_string())
    }
}
