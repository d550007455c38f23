//! The data plane's front.
//!
//! # Life of a request
//!
//! 1. `listen`: a connection takes a place; headers, bodies and idle time have limits.
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
use http::{HeaderMap, Response, request::Parts};
use micro_api::{Error, Namespace};
use micro_runtime::{Body, Context, Runtime};
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

    /// Answers `POST /rpc` for another listener, which has read the body under its own limits.
    pub async fn rpc_call(&self, namespace: &Namespace, parts: &Parts, body: &Bytes) -> Response<Body> {
        let answered = async {
            if let Some(refused) = handler::rpc_endpoint::check_method(&parts.method) {
                return Ok(refused);
            }
            let admitted = self.gate.admit(namespace)?;
            let time = handler::rpc_endpoint::timeout(&parts.headers, self.config.call_time_max);
            let context = call_context(&parts.headers, Instant::now() + time);
            let snapshot = self.snapshot();
            let called =
                handler::rpc_endpoint::handle(&self.runtime, &snapshot, namespace, parts, body, context)
                    .await;
            called.map(|response| admitted.into_response(response))
        };
        answered.await.unwrap_or_else(|error: Error| respond::error(&error))
    }

    /// What the gateway counts, as Prometheus text.
    pub fn metrics(&self) -> String {
        self.metrics.render(self.gate.in_flight())
    }
}

fn call_context(headers: &HeaderMap, deadline: Instant) -> Context {
    let mut own = headers.clone();
    headers::strip_micro(&mut own);
    headers::strip_forwarded(&mut own);
    Context {
        account: None,
        metadata: headers::metadata(&own),
        deadline,
        traceparent: headers::traceparent(&own),
        request_id: uuid::Uuid::new_v4().simple().to_string(),
    }
}
