//! Request bodies: read whole under a cap and a clock, or streamed to a service under both.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Either, LengthLimitError, Limited};
use hyper::body::Incoming;
use micro_api::Error;
use micro_runtime::{Body, BoxError};
use tokio::time::{Instant, Sleep};

use crate::place::GATEWAY;

/// So many bytes a client that was answered already may go on to send before its connection is closed.
pub(crate) const LINGER_BYTES: usize = 64 << 20;

/// The body of an HTTP/1 request. What is left of it when it is dropped is read and thrown away for a while: closing a
/// connection on which a client still sends destroys the answer before the client has read it.
pub(crate) struct Lingering {
    body: Option<Incoming>,
    time_max: Duration,
    runtime: tokio::runtime::Handle,
}

impl Lingering {
    /// The body itself where nothing of it can be left: it is empty, or a stream of HTTP/2 ends by itself.
    pub(crate) fn new(body: Incoming, version: http::Version, time_max: Duration) -> Inbound {
        if version >= http::Version::HTTP_2 || body.is_end_stream() {
            return Either::Right(body);
        }
        Either::Left(Self { body: Some(body), time_max, runtime: tokio::runtime::Handle::current() })
    }
}

/// A request's body as it comes from the server.
pub(crate) type Inbound = Either<Lingering, Incoming>;

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        let time_max = self.time_max;
        self.runtime.spawn(async move {
            let mut rest = std::pin::pin!(Limited::new(body, LINGER_BYTES));
            let read = async { while let Some(Ok(_)) = rest.frame().await {} };
            // Whatever has not come by then is not waited for.
            let _ = tokio::time::timeout(time_max, read).await;
        });
    }
}

/// Reads a message whole; 413 above `bytes_max`, 408 when it takes longer than `time_max`, 400 when the client breaks
/// off.
pub(crate) async fn read<B>(body: B, bytes_max: usize, time_max: Duration) -> Result<Bytes, Error>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large(bytes_max as u64));
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let collected = tokio::time::timeout(time_max, Limited::new(body, bytes_max).collect()).await;
    match collected {
        Err(_) => {
            Err(Error::timeout(GATEWAY, format!("limit: body time: no whole request within {time_max:?}")))
        }
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(too_large(bytes_max as u64))
        }
        Ok(Err(_)) => Err(Error::bad_request(GATEWAY, "the request ended before its body was complete")),
    }
}

/// 413 with the limit's name and value.
pub(crate) fn too_large(bytes_max: u64) -> Error {
    Error::new(GATEWAY, 413, format!("limit: request: the body is larger than {bytes_max} bytes"))
}

/// Why a request's body broke off; empty while it has not.
pub(crate) type Broken = Arc<OnceLock<Error>>;

/// A body on its way to a service: ends with an error above its cap, or when no piece comes for too long.
pub(crate) struct Guarded {
    body: Inbound,
    bytes_max: u64,
    left: u64,
    idle_max: Duration,
    broken: Broken,
    /// Runs while the client is waited for.
    idle: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    pub(crate) fn new(body: Inbound, bytes_max: u64, idle_max: Duration, broken: Broken) -> Self {
        Self { body, bytes_max, left: bytes_max, idle_max, broken, idle: None }
    }

    fn fail(&self, error: Error) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let error = self.broken.get_or_init(|| error).clone();
        Poll::Ready(Some(Err(error.into())))
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            let idle_max = self.idle_max;
            let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle_max)));
            return match idle.as_mut().poll(context) {
                Poll::Ready(()) => {
                    let detail = format!("limit: body idle: the client sends nothing for {idle_max:?}");
                    self.fail(Error::timeout(GATEWAY, detail))
                }
                Poll::Pending => Poll::Pending,
            };
        };
        let deadline = Instant::now() + self.idle_max;
        if let Some(idle) = &mut self.idle {
            idle.as_mut().reset(deadline);
        }
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            None => self.fail(too_large(self.bytes_max)),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The answer to a request whose body may break off while it is sent: it ends with an error then, since a service may
/// take what it got for the whole.
pub(crate) struct Answer {
    body: Body,
    broken: Broken,
}

impl Answer {
    pub(crate) fn new(body: Body, broken: Broken) -> Self {
        Self { body, broken }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match (&polled, self.broken.get()) {
            (Poll::Ready(None), Some(error)) => Poll::Ready(Some(Err(error.clone().into()))),
            _ => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.broken.get().is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
