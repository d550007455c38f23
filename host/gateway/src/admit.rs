//! May this request run now? Only here can an [`Admitted`] be made, and no handler runs without one.
//!
//! The permit travels with the answer's body and ends with it: a client that reads slowly holds its place.
//!
//! Who finds no room waits in a queue of its own namespace. A namespace at its cap makes only itself wait; when the
//! whole node is full, the namespaces that wait take turns, however many requests each of them has.

mod state;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use micro_api::{Error, Namespace};
use micro_runtime::{Body, BoxError};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::config::Config;
use crate::place::GATEWAY;
use crate::respond::Refusal;
use state::{Entered, Full, State, Waiter};

/// What a client that found no room is told to wait, seconds.
const RETRY_AFTER: u64 = 1;

/// A request that counts against the limits until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// None once it has ceased to count.
    gate: Option<Arc<Gate>>,
    namespace: Namespace,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let Some(gate) = self.gate.take() else { return };
        let someone_waits = gate.state.lock().leave(&self.namespace);
        if someone_waits {
            gate.call_in();
        }
    }
}

impl Admitted {
    /// Ties the permit to the end of an answer's body.
    pub(crate) fn into_response(self, response: Response<Body>) -> Response<Body> {
        response
            .map(|body| if body.is_end_stream() { body } else { Held { body, _permit: self }.boxed_unsync() })
    }
}

/// Counts requests being answered, and keeps those that wait.
#[derive(Debug)]
pub(crate) struct Gate {
    namespace_max: usize,
    waiting_time_max: Duration,
    state: Mutex<State>,
}

impl Gate {
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            namespace_max: config.requests_per_namespace_max,
            waiting_time_max: config.waiting_time_max,
            state: Mutex::new(State::new(
                config.requests_max,
                config.waiting_max,
                config.waiting_per_namespace_max,
            )),
        })
    }

    /// A permit, at once or after a wait for others of the namespace to end; `max` is what the namespace may run at
    /// once where its plan says so.
    ///
    /// # Errors
    /// 429 when the namespace is at its cap, 503 when the node is, once the queue is full or the wait was too long.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        namespace: &Namespace,
        max: Option<usize>,
    ) -> Result<Admitted, Refusal> {
        let max = max.map_or(self.namespace_max, |max| max.min(self.namespace_max));
        let place = match self.state.lock().enter(namespace, max) {
            Entered::Runs => return Ok(self.permit(namespace)),
            Entered::Waits(id, ready) => Place { gate: self, namespace, id, ready },
            Entered::Refused(full) => return Err(refusal(namespace, full)),
        };
        // The cap may have been raised since the others began to wait.
        self.call_in();
        place.wait(self.waiting_time_max).await
    }

    /// Requests being answered now.
    pub(crate) fn in_flight(&self) -> usize {
        self.state.lock().running()
    }

    /// Requests that wait for room.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting()
    }

    fn permit(self: &Arc<Self>, namespace: &Namespace) -> Admitted {
        Admitted { gate: Some(Arc::clone(self)), namespace: namespace.clone() }
    }

    /// Gives room that there is to those whose turn it is.
    fn call_in(self: &Arc<Self>) {
        loop {
            let next = self.state.lock().next();
            let Some((namespace, Waiter { ready, .. })) = next else { return };
            let permit = Admitted { gate: Some(Arc::clone(self)), namespace };
            // It went away meanwhile. Dropping the permit would come back here, once more for each that has gone.
            if let Err(mut permit) = ready.send(permit) {
                permit.gate = None;
                self.state.lock().leave(&permit.namespace);
            }
        }
    }
}

/// A place in a namespace's queue; leaves it when dropped.
struct Place<'a> {
    gate: &'a Arc<Gate>,
    namespace: &'a Namespace,
    id: u64,
    ready: oneshot::Receiver<Admitted>,
}

impl Place<'_> {
    async fn wait(mut self, time_max: Duration) -> Result<Admitted, Refusal> {
        match tokio::time::timeout(time_max, &mut self.ready).await {
            Ok(Ok(permit)) => Ok(permit),
            // Nobody drops the other end without sending; it is answered like the end of patience.
            Ok(Err(_)) | Err(_) => {
                let full = self.gate.state.lock().full(self.namespace);
                Err(refusal(self.namespace, full))
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.gate.state.lock().give_up(self.namespace, self.id);
    }
}

/// The error with the limit's name and value.
fn refusal(namespace: &Namespace, full: Full) -> Refusal {
    let error = match full {
        Full::Namespace(max) => Error::new(
            GATEWAY,
            429,
            format!(
                "limit: concurrency: {max} requests of the namespace `{namespace}` are being answered already and \
                 others wait: send fewer at once, or ask the operator for a larger plan"
            ),
        ),
        Full::Node(max) => Error::new(
            GATEWAY,
            503,
            format!("limit: requests: {max} are being answered on this node already: try again"),
        ),
    };
    Refusal::from(error).retry_after(RETRY_AFTER)
}

/// A body and the permit of its request.
struct Held {
    body: Body,
    _permit: Admitted,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
