//! The data plane's front.
//!
//! # Life of a request
//!
//! 1. `listen`: a connection takes a place; headers, bodies and idle time have limits (`exchanges` knows what is open).
//! 2. `handle`: the host names a namespace (`place`); what only the platform may say is removed (`headers`).
//! 3. `admit`: a permit that ends with the answer's body.
//! 4. `resolve`: path and method find the service (`route` has Micro's tables) and one of three handlers.
//! 5. `handler/{api,rpc,http}`: body, query and headers become a call, translated by the service's schema (`transcode`).
//! 6. `dispatch`: the call enters the runtime; calls between services start here.
//! 7. `respond`: the reply or the error object goes out; `metrics` counts it, `access_log` tells it.
//!
//! The crate knows no database and no control plane: all it needs arrives in a [`Snapshot`].

mod access_log;
mod admit;
mod body;
mod config;
mod dispatch;
mod exchanges;
mod handle;
mod handler;
mod headers;
mod listen;
mod metrics;
mod place;
mod resolve;
mod respond;
mod route;
mod snapshot;
mod transcode;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use micro_api::Namespace;
use micro_runtime::{Body, BoxError, Runtime};
use tokio::sync::watch;

pub use config::Config;
pub use dispatch::Dispatcher;
pub use snapshot::{Entry, Snapshot};

/// The gateway; cheap to share.
pub struct Gateway {
    config: Config,
    runtime: Arc<Runtime>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    gate: Arc<admit::Gate>,
    metrics: metrics::Metrics,
}

impl Gateway {
    /// A gateway that answers from the newest value of `snapshot`.
    pub fn new(config: Config, runtime: Arc<Runtime>, snapshot: watch::Receiver<Arc<Snapshot>>) -> Arc<Self> {
        let gate = admit::Gate::new(&config);
        Arc::new(Self { config, runtime, snapshot, gate, metrics: metrics::Metrics::default() })
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Answers `/rpc` for another listener as for this gateway's own, under the same limits.
    pub async fn rpc_call<B>(&self, namespace: &Namespace, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let began = Instant::now();
        let (mut parts, body) = request.into_parts();
        headers::strip_micro(&mut parts.headers);
        headers::strip_forwarded(&mut parts.headers);
        let id = handle::request_id();
        let answered = self.rpc(namespace, &parts, body, &id).await;
        self.finish(answered, &id, began.elapsed())
    }

    /// What the gateway counts, as Prometheus text.
    pub fn metrics(&self) -> String {
        self.metrics.render(self.gate.in_flight())
    }
}

#[cfg(test)]
mod tests;
