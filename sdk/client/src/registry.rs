//! The registry: which services answer.

use micro_api::ServiceName;
use micro_api::registry::Service;
use micro_api::routes::REGISTRY;

use crate::{Client, Result};

impl Client {
    /// The names of all services, sorted.
    pub async fn registry_list(&self) -> Result<Vec<String>> {
        self.get(self.url(REGISTRY, &[])).await
    }

    /// The record of each version of a service. 404 `service not found`.
    pub async fn registry_get(&self, name: &ServiceName) -> Result<Vec<Service>> {
        self.get(self.url(REGISTRY, &[&name.to_string()])).await
    }
}
