//! The registry: which services answer.

mod watch;

use micro_api::ServiceName;
use micro_api::registry::{Deregistration, Registration, Service};
use micro_api::routes::{DEREGISTER, REGISTRY};
use reqwest::Method;

use crate::{Client, Result};

pub use watch::Watcher;

impl Client {
    /// The names of all services, sorted.
    pub async fn registry_list(&self) -> Result<Vec<String>> {
        self.get(self.url(REGISTRY, &[])).await
    }

    /// The record of each version of a service. 404 `service not found`.
    pub async fn registry_get(&self, name: &ServiceName) -> Result<Vec<Service>> {
        self.get(self.url(REGISTRY, &[&name.to_string()])).await
    }

    /// Makes nodes of a service that runs elsewhere known, or known for longer.
    pub async fn register(&self, registration: &Registration) -> Result<()> {
        let request = self.request(Method::POST, self.url(REGISTRY, &[])).json(registration);
        self.body(request).await.map(drop)
    }

    /// Forgets nodes of a service that runs elsewhere. 404 when there were none.
    pub async fn deregister(&self, which: &Deregistration) -> Result<()> {
        let request = self.request(Method::POST, self.url(DEREGISTER, &[])).json(which);
        self.body(request).await.map(drop)
    }
}
