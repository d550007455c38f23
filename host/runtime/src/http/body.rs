//! Bodies on their way in and out, with their limits.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::Sleep;

use super::GuestBody;
use crate::apart::Apart;
use crate::fault::Fault;
use crate::revision::{Activity, Revision};

/// Why a body broke off. Its text is for logs, not for clients.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's or an answer's body.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// What is known of a request's body while it comes in.
pub(crate) struct Upload {
    over: AtomicBool,
    began: Instant,
    /// When the last part came, milliseconds after `began`.
    last_ms: AtomicU64,
}

impl Upload {
    fn new() -> Arc<Self> {
        Arc::new(Self { over: AtomicBool::new(false), began: Instant::now(), last_ms: AtomicU64::new(0) })
    }

    /// More came than the service takes.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// When the head of the answer is due: the guest's time does not run while the client sends.
    pub(crate) fn head_due(&self, wall: Duration, total: Duration) -> Instant {
        let last = Duration::from_millis(self.last_ms.load(Relaxed));
        self.began + (last + wall).min(total)
    }
}

/// A request's body, cut at the service's limit.
pub(crate) struct RequestBody {
    body: Body,
    left: u64,
    upload: Arc<Upload>,
}

/// A request as a guest gets it, and what is known of its body.
pub(crate) fn inbound(
    request: http::Request<Body>,
    bytes_max: u64,
) -> (http::Request<RequestBody>, Arc<Upload>) {
    let upload = Upload::new();
    let watched = Arc::clone(&upload);
    (request.map(|body| RequestBody { body, left: bytes_max, upload: watched }), upload)
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = wasmtime_wasi_http::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else { return Poll::Pending };
        let since = self.upload.began.elapsed().as_millis();
        self.upload.last_ms.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
        Poll::Ready(match frame {
            None => None,
            Some(Err(_)) => Some(Err(wasmtime_wasi_http::Error::ConnectionTerminated)),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.left.checked_sub(length) {
                    Some(left) => {
                        self.left = left;
                        Some(Ok(frame))
                    }
                    None => {
                        self.upload.over.store(true, Relaxed);
                        Some(Err(wasmtime_wasi_http::Error::HttpRequestBodySize(None)))
                    }
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that the guest still writes, as far as there is room for what nobody has taken yet.
pub(crate) struct LiveBody {
    /// What was read before the head was sent.
    pub(crate) ready: VecDeque<Frame<Bytes>>,
    /// `None` once it has ended.
    pub(crate) guest: Option<GuestBody>,
    /// `None` once the call has ended.
    pub(crate) driver: Option<Apart>,
    /// Bytes that may still be sent, those in `ready` not among them.
    pub(crate) left: u64,
    pub(crate) revision: Arc<Revision>,
    pub(crate) request_id: String,
    pub(crate) idle: Option<Pin<Box<Sleep>>>,
    pub(crate) deadline: Instant,
    pub(crate) _activity: Activity,
}

impl LiveBody {
    fn fail(&mut self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.guest = None;
        self.driver = None;
        self.revision.log_fault(&fault, &self.request_id);
        Poll::Ready(Some(Err(Box::new(fault))))
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let until = (Instant::now() + self.revision.limits().http_idle).min(self.deadline);
        let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until.into())));
        if idle.as_mut().poll(cx).is_ready() { self.fail(Fault::WallLimit) } else { Poll::Pending }
    }
}

impl HttpBody for LiveBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(frame) = this.ready.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(Poll::Ready(ended)) = this.driver.as_mut().map(|driver| driver.poll(cx)) {
            this.driver = None;
            if let Err(fault) = ended {
                // The driver has logged it. The client must see that the answer is not whole.
                this.guest = None;
                return Poll::Ready(Some(Err(Box::new(fault))));
            }
        }
        let Some(guest) = this.guest.as_mut() else { return Poll::Ready(None) };
        match guest.poll_frame(cx) {
            Poll::Pending => this.wait(cx),
            Poll::Ready(None) => {
                this.guest = None;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                this.guest = None;
                Poll::Ready(Some(Err(Box::new(error))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                this.idle = None;
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match this.left.checked_sub(length) {
                    Some(left) => this.left = left,
                    None => return this.fail(Fault::ResponseLimit),
                }
                this.revision.guest().tally().egress(length);
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }
}

impl Drop for LiveBody {
    fn drop(&mut self) {
        self.guest = None;
        if let Some(driver) = self.driver.take() {
            // The client has what it wanted, or is gone: the guest gets as long as any call, to finish its work.
            let until = Instant::now() + self.revision.limits().wall;
            driver.leave(until.min(self.deadline));
        }
    }
}

/// An answer that is complete.
pub(crate) struct ReadyBody {
    pub(crate) frames: VecDeque<Frame<Bytes>>,
}

impl HttpBody for ReadyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.frames.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.frames.iter().any(Frame::is_trailers) {
            // A body with trailers is sent in chunks, so its length is not announced.
            return SizeHint::default();
        }
        SizeHint::with_exact(
            self.frames.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum(),
        )
    }
}
