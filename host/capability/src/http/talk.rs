//! An exchange with a service that runs elsewhere whose request, answer or both are streams.
//!
//! The same door as for one message. Both bodies go at once as far as the other side does that too: many servers of
//! HTTP/1.1 answer only once they have read the whole request.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use micro_api::name::ServiceKey;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::allow::normalise;
use super::body::Driver;
use super::send::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX, Target, host_header};
use super::{Egress, PostError};
use crate::Tally;

/// The body of a request that streams; an error of it breaks the exchange off.
pub type Outgoing = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Where an exchange goes, and when it must be over.
#[derive(Debug, Clone)]
pub struct Dial {
    /// Over TLS, with the web's authorities.
    pub tls: bool,
    /// A name or an address, without a port.
    pub host: String,
    /// Not 0.
    pub port: u16,
    /// When all of it must be over.
    pub until: std::time::Instant,
}

/// A connection on which nothing was sent. Dropping it closes it.
pub struct Dialed {
    sender: http1::SendRequest<Outgoing>,
    host: HeaderValue,
    held: Held,
}

/// What lasts until the end of the exchange.
struct Held {
    _driver: Driver,
    _permits: [OwnedSemaphorePermit; 2],
    until: Instant,
    idle: std::time::Duration,
    /// Parts of the request that were sent.
    sent: Arc<AtomicU64>,
}

/// An answer whose body comes part by part. Dropping it closes the connection.
pub struct Answering {
    /// Of the answer.
    pub status: StatusCode,
    /// Of the answer.
    pub headers: HeaderMap,
    body: Incoming,
    /// The request may not have been sent to its end.
    _sender: http1::SendRequest<Outgoing>,
    held: Held,
}

impl std::fmt::Debug for Dialed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialed").field("host", &self.host).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Answering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answering").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Egress {
    /// Connects for `service`, whose traffic `tally` counts.
    ///
    /// # Errors
    /// See [`PostError`]; nothing was sent.
    pub async fn dial(
        &self,
        service: &ServiceKey,
        tally: &Arc<Tally>,
        dial: Dial,
    ) -> Result<Dialed, PostError> {
        let until: Instant = dial.until.into();
        let target = Target { host: normalise(&dial.host), port: dial.port, tls: dial.tls };
        let (stream, permits) = self.reach(service, tally, &target, until).await?;
        let host = HeaderValue::try_from(host_header(&target)).map_err(|_| PostError::Unreached)?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEAD_FIELDS_MAX);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|_| PostError::Unreached)?;
        let driver = Driver(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a stream to a service elsewhere ended");
            }
        }));
        let idle = self.config.idle_timeout;
        let held = Held { _driver: driver, _permits: permits, until, idle, sent: Arc::default() };
        Ok(Dialed { sender, host, held })
    }
}

impl Held {
    /// Waits for what comes from the other side, until the end of the exchange, and no longer than `idle` in which
    /// nothing was sent either.
    async fn wait<R>(&self, coming: impl Future<Output = R>) -> Result<R, PostError> {
        let mut coming = pin!(coming);
        loop {
            let sent = self.sent.load(Relaxed);
            let until = (Instant::now() + self.idle).min(self.until);
            if let Ok(come) = timeout_at(until, &mut coming).await {
                return Ok(come);
            }
            if until >= self.until || self.sent.load(Relaxed) == sent {
                return Err(PostError::Timeout);
            }
        }
    }
}

impl Dialed {
    /// Sends a POST and waits for the head of its answer; `body` is sent meanwhile and afterwards.
    ///
    /// # Errors
    /// [`PostError::Broken`], and [`PostError::Timeout`] as of [`Answering::next`]; the other side may have read a part of `body`.
    pub async fn post(
        mut self,
        path: &str,
        headers: HeaderMap,
        body: Outgoing,
    ) -> Result<Answering, PostError> {
        let sent = Arc::clone(&self.held.sent);
        let counted = body.map_frame(move |frame| {
            sent.fetch_add(1, Relaxed);
            frame
        });
        let mut request = Request::new(counted.boxed_unsync());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().map_err(|_| PostError::Unreached)?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, self.host);
        let answered = self.held.wait(self.sender.send_request(request)).await?;
        let response = answered.map_err(|_| PostError::Broken)?;
        let (parts, body) = response.into_parts();
        let (status, headers) = (parts.status, parts.headers);
        Ok(Answering { status, headers, body, _sender: self.sender, held: self.held })
    }
}

impl Answering {
    /// The next part of the body; none at its end.
    ///
    /// # Errors
    /// [`PostError::Timeout`] when for `idle_timeout` none comes and none of the request is sent, or until the exchange's end; [`PostError::Broken`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, PostError> {
        loop {
            let Some(frame) = self.held.wait(self.body.frame()).await? else { return Ok(None) };
            if let Ok(data) = frame.map_err(|_| PostError::Broken)?.into_data() {
                return Ok(Some(data));
            }
        }
    }
}
