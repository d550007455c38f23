//! One message to a service that runs elsewhere: the platform's own call, in the name of a namespace.
//!
//! The same door as for guests: addresses of the operator's own network are refused, what passes is counted, and nothing
//! is shared between calls.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use micro_api::name::ServiceKey;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::Error as WasiError;

use super::Egress;
use super::allow::normalise;
use super::body::Driver;
use super::counted::Counted;
use super::send::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX, Target, host_header};
use crate::Tally;

/// A message and where it goes.
#[derive(Debug, Clone)]
pub struct Post {
    /// Over TLS, with the web's authorities.
    pub tls: bool,
    /// A name or an address, without a port.
    pub host: String,
    /// Not 0.
    pub port: u16,
    /// Begins with `/`.
    pub path: String,
    /// `Host` and `Content-Length` are added.
    pub headers: HeaderMap,
    /// The message.
    pub body: Bytes,
    /// When the whole exchange must be over.
    pub until: std::time::Instant,
    /// Longest answer, bytes.
    pub answer_bytes_max: usize,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Of the answer.
    pub status: StatusCode,
    /// Of the answer.
    pub headers: HeaderMap,
    /// Whole.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The address is none that the platform connects to for a tenant.
    #[error("its address is not one that services may reach")]
    Prohibited,
    /// No connection; nothing was sent.
    #[error("it cannot be reached")]
    Unreached,
    /// The connection broke after the message may have been read.
    #[error("the connection to it broke")]
    Broken,
    /// It did not answer in time.
    #[error("it did not answer in time")]
    Timeout,
    /// Its answer is longer than allowed.
    #[error("its answer is longer than {0} bytes")]
    TooLarge(usize),
    /// Too many calls are open at once.
    #[error("limit: outbound (too many outbound HTTP calls at once)")]
    Busy,
    /// The namespace's plan allows no more outbound traffic this month.
    #[error("limit: egress_bytes: the plan of this namespace allows no more until the next month")]
    Quota,
}

impl Egress {
    /// Sends `post` for `service`, whose traffic `tally` counts, and reads the whole answer.
    ///
    /// # Errors
    /// See [`PostError`]; only after [`PostError::Unreached`] and [`PostError::Prohibited`] it is sure that nothing was
    /// sent.
    pub async fn post(
        &self,
        service: &ServiceKey,
        tally: &Arc<Tally>,
        post: Post,
    ) -> Result<Posted, PostError> {
        let until: Instant = post.until.into();
        let target = Target { host: normalise(&post.host), port: post.port, tls: post.tls };
        let (stream, permits) = self.reach(service, tally, &target, until).await?;
        let answer_bytes_max = post.answer_bytes_max;
        let request = request(&target, post)?;
        let exchanged = timeout_at(until, exchange(stream, request, answer_bytes_max)).await;
        drop(permits);
        exchanged.map_err(|_| PostError::Timeout)?
    }

    /// Connects for `service` within what it, the process and the namespace's plan may, and gives the permits that last
    /// as long as the connection is used.
    pub(super) async fn reach(
        &self,
        service: &ServiceKey,
        tally: &Arc<Tally>,
        target: &Target,
        until: Instant,
    ) -> Result<(Counted, [OwnedSemaphorePermit; 2]), PostError> {
        if tally.space().is_egress_closed() {
            return Err(PostError::Quota);
        }
        let of_service = self.permits(service).try_acquire_owned().map_err(|_| PostError::Busy)?;
        let of_process = Arc::clone(&self.calls).try_acquire_owned().map_err(|_| PostError::Busy)?;
        let connect = (Instant::now() + self.config.connect_timeout).min(until);
        let stream = self.connect(target, connect).await.map_err(|error| match error {
            WasiError::DestinationIpProhibited => PostError::Prohibited,
            _ => PostError::Unreached,
        })?;
        Ok((Counted { stream, tally: Arc::clone(tally) }, [of_service, of_process]))
    }
}

fn request(target: &Target, post: Post) -> Result<Request<Full<Bytes>>, PostError> {
    let mut request = Request::new(Full::new(post.body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = post.path.parse().map_err(|_| PostError::Unreached)?;
    *request.headers_mut() = post.headers;
    let host = HeaderValue::try_from(host_header(target)).map_err(|_| PostError::Unreached)?;
    request.headers_mut().insert(HOST, host);
    Ok(request)
}

async fn exchange(
    stream: Counted,
    request: Request<Full<Bytes>>,
    answer_bytes_max: usize,
) -> Result<Posted, PostError> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEAD_FIELDS_MAX);
    let handshake = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| PostError::Broken)?;
    // Ends with this call, whichever way it ends.
    let _driver = Driver(tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a service elsewhere ended");
        }
    }));
    let response = sender.send_request(request).await.map_err(|_| PostError::Broken)?;
    let (parts, mut incoming) = response.into_parts();
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(|_| PostError::Broken)?.into_data() else { continue };
        if body.len() + data.len() > answer_bytes_max {
            return Err(PostError::TooLarge(answer_bytes_max));
        }
        body.extend_from_slice(&data);
    }
    Ok(Posted { status: parts.status, headers: parts.headers, body: body.freeze() })
}
