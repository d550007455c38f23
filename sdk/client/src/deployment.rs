//! Run, update, kill, status, and waiting for a deployment.

use std::time::Duration;

use micro_api::ServiceName;
use micro_api::deployment::{Deployment, RunRequest, SERVICES_PAGE_MAX, ServiceStatus};
use micro_api::routes::{DEPLOYMENTS, SERVICES};
use micro_api::stats::{NodeHealth, NodeStats};
use reqwest::Method;

use crate::transport::as_json;
use crate::{Client, Result};

/// How long [`Client::deployment`] may take, and for what it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The `updated_ms` that the caller has seen; the answer comes when it differs.
    pub seen_ms: i64,
    /// The longest wait.
    pub time: Duration,
}

impl Client {
    /// Starts a service. 409 `service already running` if this version runs.
    pub async fn run(&self, request: &RunRequest) -> Result<Deployment> {
        self.exchange(Method::POST, self.url(SERVICES, &[]), request).await
    }

    /// Replaces a running service. 404 if this version does not run.
    pub async fn update(&self, request: &RunRequest) -> Result<Deployment> {
        self.exchange(Method::PUT, self.url(SERVICES, &[]), request).await
    }

    /// Stops a version of a service.
    pub async fn kill(&self, name: &ServiceName, version: &str) -> Result<Deployment> {
        let mut url = self.url(SERVICES, &[&name.to_string()]);
        url.query_pairs_mut().append_pair("version", version);
        self.json(as_json(self.request(Method::DELETE, url))).await
    }

    /// The services of the namespace, sorted by name. `None` is every name, every version.
    pub async fn services(
        &self,
        name: Option<&ServiceName>,
        version: Option<&str>,
    ) -> Result<Vec<ServiceStatus>> {
        let mut url = self.url(SERVICES, &[]);
        if let Some(name) = name {
            url.query_pairs_mut().append_pair("name", &name.to_string());
        }
        if let Some(version) = version {
            url.query_pairs_mut().append_pair("version", version);
        }
        if name.is_some() || version.is_some() {
            return self.get(url).await;
        }
        let mut services: Vec<ServiceStatus> = Vec::new();
        loop {
            let mut url = url.clone();
            url.query_pairs_mut().append_pair("limit", &SERVICES_PAGE_MAX.to_string());
            if let Some(last) = services.last() {
                url.query_pairs_mut().append_pair("after", &format!("{}:{}", last.name, last.version));
            }
            let page: Vec<ServiceStatus> = self.get(url).await?;
            let is_last = page.len() != SERVICES_PAGE_MAX;
            services.extend(page);
            if is_last {
                return Ok(services);
            }
        }
    }

    /// A deployment's state, at once or when it has changed.
    pub async fn deployment(&self, id: &str, wait: Option<Wait>) -> Result<Deployment> {
        let mut url = self.url(DEPLOYMENTS, &[id]);
        let Some(wait) = wait else { return self.get(url).await };
        url.query_pairs_mut()
            .append_pair("wait_ms", &wait.time.as_millis().to_string())
            .append_pair("seen", &wait.seen_ms.to_string());
        // The server answers within `wait.time`; the margin is for the way.
        let timeout = wait.time + Duration::from_secs(10);
        self.json(self.request(Method::GET, url).timeout(timeout)).await
    }

    /// Health of each node of a service.
    pub async fn health(&self, name: &ServiceName) -> Result<Vec<NodeHealth>> {
        self.get(self.url(SERVICES, &[&name.to_string(), "health"])).await
    }

    /// Statistics of each node of a service.
    pub async fn stats(&self, name: &ServiceName) -> Result<Vec<NodeStats>> {
        self.get(self.url(SERVICES, &[&name.to_string(), "stats"])).await
    }
}
