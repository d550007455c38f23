//! The data plane's front.
//!
//! # Life of a request
//!
//! 1. `listen`: a connection takes a place; headers, bodies and idle time have limits (`exchanges` knows what is open).
//! 2. `handle`: the host names a namespace (`place`), the connection or a trusted proxy the `client`; what only the
//!    platform may say is removed (`headers`).
//! 3. `authenticate`: a `credential` is taken off the request and becomes a caller, within the caller's `rate`.
//! 4. `resolve`: path and method find the service (`route` has Micro's tables) and one of three handlers.
//! 5. `authorize`: the namespace's rules (`tenant`) let the caller call it.
//! 6. `rate`, `admit`, `quota`: the namespace's limits, and a permit that ends with the answer's body.
//! 7. `handler/{api,rpc,http}`: body, query and headers become a call, translated by the service's schema (`transcode`).
//!    Where the endpoint streams (`streams`), `handler/stream` does so, message by message (`envelope`).
//! 8. `dispatch`: the call enters the runtime; calls between services start here.
//! 9. `respond`: the reply or the error object goes out; `metrics` counts it, `access_log` tells it.
//!
//! Below `/.micro/` nothing is a service's: `blob` answers there from the node's blobs.
//!
//! The crate knows no database and no control plane: all it needs arrives in a [`Snapshot`].

mod access_log;
mod admit;
mod authenticate;
mod authorize;
mod blob;
mod body;
mod client;
mod config;
mod credential;
mod deliver;
mod dispatch;
mod envelope;
mod exchanges;
mod external;
mod handle;
mod handler;
mod headers;
mod listen;
mod metrics;
mod place;
mod quota;
mod rate;
mod resolve;
mod respond;
mod route;
mod snapshot;
mod streams;
mod tenant;
mod transcode;
mod watched;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use micro_api::Namespace;
use micro_auth::{Authenticator, Identity};
use micro_runtime::{Body, BoxError, Runtime};
use tokio::sync::watch;

pub use config::Config;
pub use dispatch::Dispatcher;
pub use external::External;
pub use quota::{Exceeded, NoQuota, Quota};
pub use rate::Rate;
pub use snapshot::{Entry, Snapshot, node_metadata};
pub use tenant::Tenant;

/// The gateway; cheap to share.
pub struct Gateway {
    config: Config,
    runtime: Arc<Runtime>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    authenticator: Arc<dyn Authenticator>,
    quota: Arc<dyn Quota>,
    rates: rate::Rates,
    gate: Arc<admit::Gate>,
    metrics: metrics::Metrics,
}

impl Gateway {
    /// A gateway that answers from the newest value of `snapshot`, to whom `authenticator` knows, within `quota`.
    pub fn new(
        config: Config,
        runtime: Arc<Runtime>,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        authenticator: Arc<dyn Authenticator>,
        quota: Arc<dyn Quota>,
    ) -> Arc<Self> {
        let (gate, rates) = (admit::Gate::new(&config), rate::Rates::new(&config));
        let metrics = metrics::Metrics::default();
        Arc::new(Self { config, runtime, snapshot, authenticator, quota, rates, gate, metrics })
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Answers `/rpc` for another listener as for this gateway's own, under the same rules and limits. `identity` is who
    /// that listener found to be asking; a credential in the request counts no more.
    pub async fn rpc_call<B>(
        &self,
        namespace: &Namespace,
        request: Request<B>,
        identity: Option<Arc<Identity>>,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let began = Instant::now();
        let (mut parts, body) = request.into_parts();
        headers::strip_micro(&mut parts.headers);
        headers::strip_forwarded(&mut parts.headers);
        credential::strip(&mut parts.headers);
        let id = handle::request_id();
        let answered = match self.vouched(&mut parts.headers, identity) {
            Ok(arrived) => self.rpc(namespace, &parts, body, arrived, &id).await,
            Err(refusal) => Err(refusal),
        };
        self.finish(answered, &id, began.elapsed())
    }

    /// What the gateway counts, as Prometheus text.
    pub fn metrics(&self) -> String {
        self.metrics.render(self.gate.in_flight(), self.gate.waiting())
    }
}

#[cfg(test)]
mod tests;
