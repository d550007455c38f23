//! Outbound HTTP: to granted hosts only, and never to an address that belongs to the operator's own network.
//!
//! A name is checked against the grant, resolved once, and each address judged; the connection goes to an address that
//! passed, so a name that resolves differently a moment later gains nothing. Redirects are the guest's to follow: each
//! is a call of its own and checked again. Every call has a connection of its own and TLS sessions are not resumed, so
//! nothing is shared between namespaces.

mod address;
mod allow;
mod body;
mod connect;
mod counted;
mod hooks;
mod post;
mod send;
mod talk;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use micro_api::name::ServiceKey;
use moka::sync::Cache;
use tokio::sync::Semaphore;

pub use allow::AllowedHosts;
pub use connect::{Connector, Io, Resolver};
pub use post::{Post, PostError, Posted};
pub use talk::{Answering, Dial, Dialed, Outgoing};

/// Bounds of outbound HTTP.
#[derive(Debug, Clone)]
pub struct EgressConfig {
    /// Loopback addresses may be reached (where granted): for development only.
    pub loopback: bool,
    /// Calls at once over all instances of a service.
    pub calls_per_service_max: usize,
    /// Calls at once in this process; keeps file descriptors for everything else.
    pub calls_max: usize,
    /// Name resolution, each.
    pub resolve_timeout: Duration,
    /// TCP and TLS handshake together.
    pub connect_timeout: Duration,
    /// From the request's start to the response's head.
    pub head_timeout: Duration,
    /// Between two parts of a response body.
    pub idle_timeout: Duration,
    /// The whole exchange, body included.
    pub total_timeout: Duration,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            loopback: false,
            calls_per_service_max: 128,
            calls_max: 1_024,
            resolve_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(300),
        }
    }
}

/// The door to the outside, one per process.
pub struct Egress {
    config: EgressConfig,
    resolver: Arc<dyn Resolver>,
    connector: Arc<dyn Connector>,
    tls: tokio_rustls::TlsConnector,
    calls: Arc<Semaphore>,
    services: Cache<ServiceKey, Arc<Semaphore>>,
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Egress {
    /// With the system's resolver, TCP, and the web's certificate authorities.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(config: EgressConfig) -> Result<Arc<Self>, TlsError> {
        Self::with(config, Arc::new(connect::System), Arc::new(connect::System))
    }

    /// With another resolver or connector: for tests.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn with(
        config: EgressConfig,
        resolver: Arc<dyn Resolver>,
        connector: Arc<dyn Connector>,
    ) -> Result<Arc<Self>, TlsError> {
        let calls = Arc::new(Semaphore::new(config.calls_max));
        let services = Cache::builder().max_capacity(65_536).time_to_idle(Duration::from_secs(3_600)).build();
        let tls = connect::tls()?;
        Ok(Arc::new(Self { config, resolver, connector, tls, calls, services }))
    }

    /// The calls that a service may have open, shared by its instances and revisions.
    pub(crate) fn permits(&self, service: &ServiceKey) -> Arc<Semaphore> {
        self.services
            .get_with(service.clone(), || Arc::new(Semaphore::new(self.config.calls_per_service_max)))
    }
}

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("set up TLS for outbound calls")]
pub struct TlsError(#[source] tokio_rustls::rustls::Error);
