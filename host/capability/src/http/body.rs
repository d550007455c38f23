//! A response body that ends in time and holds the call's permits until then.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::Error;

use super::send::Permits;

/// Aborts the task that drives a connection, and so closes it, when nobody wants its bytes any more.
#[derive(Debug)]
pub(crate) struct Driver(pub(crate) JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The body of a response, bounded in time.
pub(crate) struct Timed {
    pub(crate) incoming: Incoming,
    pub(crate) idle: Pin<Box<Sleep>>,
    pub(crate) idle_timeout: Duration,
    pub(crate) until: Instant,
    pub(crate) _driver: Driver,
    pub(crate) _permits: Permits,
}

impl Body for Timed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) {
            let next = (Instant::now() + self.idle_timeout).min(self.until);
            self.idle.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| super::send::hyper_error(&error))));
        }
        self.idle.as_mut().poll(context).map(|()| Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
