//! What runs in the namespace.

mod host;

use async_trait::async_trait;
use micro_api::name::{Namespace, ServiceName};
use micro_api::registry::Service;

/// Answers what runs; implemented over the routing snapshot, so it needs no database.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// One record per version; empty when the namespace has no such service.
    async fn get(&self, namespace: &Namespace, service: &ServiceName) -> Vec<Service>;

    /// Names of the namespace's services, sorted.
    async fn list(&self, namespace: &Namespace) -> Vec<String>;
}
