//! What runs in the namespace.

mod elsewhere;
mod host;
mod log;
mod tell;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_api::name::{Namespace, ServiceName};
use micro_api::registry::{Changes, Service};

pub use elsewhere::{All, Elsewhere, ElsewhereConfig, ElsewhereError, Found};
pub use log::{Key, Log};
pub use tell::{TOPIC, Teller};

/// Answers what runs; implemented over the routing snapshot, so it needs no database.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// One record per version; empty when the namespace has no such service.
    async fn get(&self, namespace: &Namespace, service: &ServiceName) -> Vec<Arc<Service>>;

    /// Names of the namespace's services, sorted.
    async fn list(&self, namespace: &Namespace) -> Vec<String>;

    /// What changed after the place `after`, in one service or all; waits for up to `wait` where nothing did. All that
    /// is there when there is no such place, or so much changed since that it is not known any more.
    async fn watch(
        &self,
        namespace: &Namespace,
        service: Option<&ServiceName>,
        after: Option<String>,
        wait: Duration,
    ) -> Changes;
}

/// A directory of a platform on which nothing runs.
#[derive(Debug)]
pub struct Empty;

#[async_trait]
impl Directory for Empty {
    async fn get(&self, _: &Namespace, _: &ServiceName) -> Vec<Arc<Service>> {
        Vec::new()
    }

    async fn list(&self, _: &Namespace) -> Vec<String> {
        Vec::new()
    }

    async fn watch(
        &self,
        _: &Namespace,
        _: Option<&ServiceName>,
        after: Option<String>,
        _: Duration,
    ) -> Changes {
        Changes { ready: true, revision: after.unwrap_or_default(), ..Changes::default() }
    }
}
