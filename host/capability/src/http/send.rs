//! One outgoing request, from the grant to the response's head.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls::pki_types::ServerName;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::address::is_allowed;
use super::allow::{normalise, port_of};
use super::body::{Driver, Timed};
use super::counted::Counted;
use super::{Egress, Io};
use crate::ctx::Outbound;
use crate::{Ctx, Handle};

/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;
/// Most bytes of a response's head, and most fields.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;
pub(super) const HEAD_FIELDS_MAX: usize = 128;

/// Held until the response's body ends.
#[derive(Debug)]
pub(crate) struct Permits {
    _instance: OwnedSemaphorePermit,
    _service: OwnedSemaphorePermit,
    _process: OwnedSemaphorePermit,
}

/// What a request needs of the instance that makes it.
pub(crate) struct Call {
    handle: Handle,
    outbound: Arc<Outbound>,
}

/// Where a request goes that may go there.
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl Call {
    pub(crate) fn new(ctx: &Ctx) -> Self {
        Self { handle: ctx.handle(), outbound: Arc::clone(&ctx.outbound) }
    }

    pub(crate) async fn send(
        self,
        mut request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Error> {
        let target = self.target(&request)?;
        self.check_budget()?;
        let permits = self.permits()?;
        let egress = Arc::clone(&self.handle.guest.capabilities.egress);
        let limits = Limits::new(&egress, options, self.handle.context.deadline.into());
        prepare(&mut request, &target)?;
        let stream = egress.connect(&target, limits.connect).await?;
        let stream = Counted { stream, tally: Arc::clone(self.handle.guest.tally()) };
        exchange(stream, request, permits, limits).await
    }

    /// The grant's word on the request.
    fn target(&self, request: &Request<WasiBody>) -> Result<Target, Error> {
        let tls = match request.uri().scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(Error::HttpProtocolError),
        };
        let authority = request.uri().authority().ok_or(Error::HttpRequestUriInvalid)?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(Error::HttpRequestUriInvalid);
        }
        // A tunnel would carry bytes that nobody judges.
        if *request.method() == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let host = normalise(authority.host());
        let port = port_of(authority, if tls { 443 } else { 80 }).ok_or(Error::HttpRequestUriInvalid)?;
        if self.handle.guest.rules.http.allow(&host, port) {
            return Ok(Target { host, port, tls });
        }
        let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        self.say(format!(
            "outbound HTTP to {shown} is not granted: add `http = [\"{shown}\"]` to [grants] in micro.toml"
        ));
        Err(Error::HttpRequestDenied)
    }

    /// A namespace that has sent out what its plan allows sends nothing more this month.
    fn check_budget(&self) -> Result<(), Error> {
        if !self.handle.guest.tally().space().is_egress_closed() {
            return Ok(());
        }
        self.say(
            "limit: egress_bytes: the plan of this namespace allows no more until the next month".to_owned(),
        );
        Err(Error::HttpRequestDenied)
    }

    /// Refuses rather than queues: a guest that holds all its permits would wait for itself.
    fn permits(&self) -> Result<Permits, Error> {
        let guest = &self.handle.guest;
        let take = |semaphore: &Arc<Semaphore>, of: &str| {
            Arc::clone(semaphore).try_acquire_owned().map_err(|_| {
                self.say(format!("limit: outbound (too many outbound HTTP calls at once in {of})"));
                Error::ConnectionLimitReached
            })
        };
        Ok(Permits {
            _instance: take(&self.outbound.permits, "one instance")?,
            _service: take(&guest.outbound_service, "the service")?,
            _process: take(&guest.capabilities.egress.calls, "the node")?,
        })
    }

    /// Once a call: a guest that tries a thousand times fills no log.
    fn say(&self, message: String) {
        if self.outbound.said.swap(true, Ordering::Relaxed) {
            return;
        }
        let guest = &self.handle.guest;
        guest.capabilities.logs.platform(&guest.scope, "warn", &self.handle.context.request_id, message);
    }
}

/// When each part must be over: the platform's bounds, lowered by the guest's options and by the call's deadline.
struct Limits {
    connect: Instant,
    head: Instant,
    until: Instant,
    idle: Duration,
}

impl Limits {
    fn new(egress: &Egress, options: RequestOptions, deadline: Instant) -> Self {
        let (config, now) = (&egress.config, Instant::now());
        let connect = options.connect_timeout.unwrap_or(config.connect_timeout).min(config.connect_timeout);
        let head = options.first_byte_timeout.unwrap_or(config.head_timeout).min(config.head_timeout);
        let idle = options.between_bytes_timeout.unwrap_or(config.idle_timeout).min(config.idle_timeout);
        Self {
            connect: (now + connect).min(deadline),
            head: (now + connect + head).min(deadline),
            until: now + config.total_timeout,
            idle,
        }
    }
}

/// The form that goes over the wire: path and query alone, and the `Host` that the target has.
fn prepare(request: &mut Request<WasiBody>, target: &Target) -> Result<(), Error> {
    let host = HeaderValue::try_from(host_header(target)).map_err(|_| Error::HttpRequestUriInvalid)?;
    request.headers_mut().insert(HOST, host);
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    *request.version_mut() = Version::HTTP_11;
    Ok(())
}

/// The `Host` of a target: its port only where the scheme has another.
pub(super) fn host_header(target: &Target) -> String {
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
    let default = if target.tls { 443 } else { 80 };
    if target.port == default { host } else { format!("{host}:{}", target.port) }
}

impl Egress {
    pub(super) async fn connect(&self, target: &Target, until: Instant) -> Result<Box<dyn Io>, Error> {
        let addresses = self.judged(target, until).await?;
        let connect = async {
            let mut last = Error::DestinationUnavailable;
            for address in addresses {
                match self.connector.connect(SocketAddr::new(address, target.port)).await {
                    Ok(stream) => return self.secure(stream, target).await,
                    Err(error) => last = connect_error(&error),
                }
            }
            Err(last)
        };
        timeout_at(until, connect).await.map_err(|_| Error::ConnectionTimeout)?
    }

    /// The target's addresses that a guest may reach.
    async fn judged(&self, target: &Target, until: Instant) -> Result<Vec<IpAddr>, Error> {
        let all = match target.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let until = until.min(Instant::now() + self.config.resolve_timeout);
                let resolved = timeout_at(until, self.resolver.resolve(&target.host)).await;
                resolved
                    .map_err(|_| Error::DnsTimeout)?
                    .map_err(|_| Error::DnsError { rcode: None, info_code: None })?
            }
        };
        if all.is_empty() {
            return Err(Error::DestinationNotFound);
        }
        let allowed = all.into_iter().filter(|address| is_allowed(*address, self.config.loopback));
        let allowed: Vec<_> = allowed.take(ADDRESSES_MAX).collect();
        if allowed.is_empty() { Err(Error::DestinationIpProhibited) } else { Ok(allowed) }
    }

    async fn secure(&self, stream: Box<dyn Io>, target: &Target) -> Result<Box<dyn Io>, Error> {
        if !target.tls {
            return Ok(stream);
        }
        let name = ServerName::try_from(target.host.clone()).map_err(|_| Error::HttpRequestUriInvalid)?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| tls_error(&error))?;
        Ok(Box::new(stream))
    }
}

async fn exchange(
    stream: Counted,
    request: Request<WasiBody>,
    permits: Permits,
    limits: Limits,
) -> Result<Response<WasiBody>, Error> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEAD_FIELDS_MAX);
    let (mut sender, connection) = timeout_at(limits.connect, builder.handshake(TokioIo::new(stream)))
        .await
        .map_err(|_| Error::ConnectionTimeout)?
        .map_err(|error| hyper_error(&error))?;
    let driver = Driver(tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an outbound connection ended");
        }
    }));
    let response = timeout_at(limits.head, sender.send_request(request))
        .await
        .map_err(|_| Error::HttpResponseTimeout)?
        .map_err(|error| hyper_error(&error))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::HttpUpgradeFailed);
    }
    Ok(response.map(|incoming| {
        let body = Timed {
            incoming,
            idle: Box::pin(tokio::time::sleep_until((Instant::now() + limits.idle).min(limits.until))),
            idle_timeout: limits.idle,
            until: limits.until,
            _driver: driver,
            _permits: permits,
        };
        body.boxed_unsync()
    }))
}

fn connect_error(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::DestinationIpUnroutable,
        _ => Error::DestinationUnavailable,
    }
}

fn tls_error(error: &io::Error) -> Error {
    use tokio_rustls::rustls::Error as Tls;
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(Tls::InvalidCertificate(_)) => Error::TlsCertificateError,
        Some(_) => Error::TlsProtocolError,
        None => Error::ConnectionTerminated,
    }
}

/// What went wrong between us and the peer, as far as a guest may know.
pub(crate) fn hyper_error(error: &hyper::Error) -> Error {
    if error.is_timeout() {
        Error::HttpResponseTimeout
    } else if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(None)
    } else if error.is_incomplete_message() {
        Error::HttpResponseIncomplete
    } else if error.is_closed() || error.is_canceled() {
        Error::ConnectionTerminated
    } else {
        Error::HttpProtocolError
    }
}
