//! One request, phase by phase. The page to read first.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use hyper::body::Incoming;
use micro_api::{Error, Namespace};
use micro_runtime::{Body, BoxError, Context};

use crate::body::{Inbound, Lingering};
use crate::exchanges::Exchange;
use crate::handler::{api, http as http_handler, rpc, rpc_endpoint};
use crate::place::{GATEWAY, Place, host_name};
use crate::resolve::{Handler, resolve};
use crate::{Gateway, access_log, body, headers, respond};

/// The methods that endpoints answer, as `OPTIONS` tells them.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

impl Gateway {
    /// place → built-in paths → route → admit → call → respond.
    pub(crate) async fn handle(
        &self,
        request: Request<Incoming>,
        peer: HeaderValue,
        exchange: Exchange,
    ) -> Result<Response<Body>, Infallible> {
        let began = Instant::now();
        let (mut parts, body) = request.into_parts();
        let body = Lingering::new(body, parts.version, self.config.linger_time_max);
        let id = request_id();
        let line = access_log::Line::new(&parts, &peer);
        let answered = match self.place(&mut parts, peer) {
            Ok((place, host)) => match self.built_in(&parts, &place) {
                Some(response) => Ok(response),
                None => self.answer(parts, body, &place, &host, &id).await,
            },
            Err(error) => Err(error),
        };
        let took = began.elapsed();
        let response = self.finish(answered, &id, took);
        if let Some(line) = line {
            line.write(&id, response.status(), took);
        }
        Ok(exchange.into_response(response))
    }

    /// The answer or the error, with the request's id, counted.
    pub(crate) fn finish(
        &self,
        answered: Result<Response<Body>, Error>,
        id: &str,
        took: Duration,
    ) -> Response<Body> {
        let mut response = answered.unwrap_or_else(|error| respond::error(&error));
        if let Ok(value) = HeaderValue::from_str(id) {
            response.headers_mut().insert("micro-id", value);
        }
        self.metrics.answered(response.status(), took);
        response
    }

    /// Checks what the request says of itself and removes what only the platform may say.
    fn place(&self, parts: &mut Parts, peer: HeaderValue) -> Result<(Place, String), Error> {
        if matches!(parts.method, Method::CONNECT | Method::TRACE) {
            return Err(Error::new(GATEWAY, 405, format!("the method {} is not served", parts.method)));
        }
        // The server counts the headers of HTTP/1 only.
        if parts.headers.len() > self.config.header_count_max {
            let detail = format!("limit: headers: more than {}", self.config.header_count_max);
            return Err(Error::new(GATEWAY, 431, detail));
        }
        let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if target > self.config.target_bytes_max {
            let detail = format!("limit: target: longer than {} bytes", self.config.target_bytes_max);
            return Err(Error::new(GATEWAY, 414, detail));
        }
        let host = host(parts)?;
        let place = Place::of(&host, &parts.headers, &self.config.domain)?;
        self.check_origin(&parts.headers)?;
        headers::strip_micro(&mut parts.headers);
        headers::strip_forwarded(&mut parts.headers);
        parts.headers.insert("x-forwarded-for", peer);
        if let Ok(value) = HeaderValue::from_str(place.namespace().as_str()) {
            parts.headers.insert("micro-namespace", value);
        }
        Ok((place, host))
    }

    /// A page of somebody else must not use a visitor's browser to reach services on loopback.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Error> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let host = origin.split_once("://").map(|(_, host)| host_name(host));
        let ours = host.is_some_and(|host| Place::of(&host, &HeaderMap::new(), &self.config.domain).is_ok());
        if ours {
            Ok(())
        } else {
            Err(Error::forbidden(GATEWAY, format!("requests from the origin `{origin}` are refused")))
        }
    }

    /// Paths of the gateway itself; a service's own origin has none.
    fn built_in(&self, parts: &Parts, place: &Place) -> Option<Response<Body>> {
        if matches!(place, Place::Origin(..)) {
            return None;
        }
        match (parts.uri.path(), &parts.method) {
            ("/", &Method::GET | &Method::HEAD) => {
                let version = format!(r#"{{"version": "{}"}}"#, self.config.version);
                Some(respond::json(StatusCode::OK, version))
            }
            ("/", &Method::OPTIONS) | ("/favicon.ico", _) => Some(respond::empty(StatusCode::OK)),
            _ => None,
        }
    }

    async fn answer(
        &self,
        parts: Parts,
        incoming: Inbound,
        place: &Place,
        host: &str,
        id: &str,
    ) -> Result<Response<Body>, Error> {
        if let ("/rpc", Place::Namespace(namespace)) = (parts.uri.path(), place) {
            return self.rpc(namespace, &parts, incoming, id).await;
        }
        let admitted = self.gate.admit(place.namespace())?;
        let snapshot = self.snapshot();
        let path = parts.uri.path();
        let matched = resolve(&snapshot, place, parts.method.as_str(), &host_name(host), path)?;
        let entry = matched.entry;
        if parts.method == Method::OPTIONS && matched.handler != Handler::Http {
            // A question about an endpoint is no call of it.
            let mut response = respond::empty(StatusCode::OK);
            response.headers_mut().insert(header::ALLOW, METHODS);
            return Ok(response);
        }
        let response = match matched.handler {
            Handler::Http => {
                let context = self.context(&parts, id, self.config.http_time_max);
                http_handler::handle(&self.runtime, &self.config, &entry, parts, host, incoming, context)
                    .await?
            }
            Handler::Rpc { endpoint, fields } => {
                let bytes = self.message(incoming, &entry).await?;
                let context = self.context(&parts, id, self.config.call_time_max);
                rpc::handle(&self.runtime, &entry, &endpoint, &parts, fields, bytes, context).await?
            }
            Handler::Api { endpoint } => {
                let bytes = self.message(incoming, &entry).await?;
                let context = self.context(&parts, id, self.config.call_time_max);
                api::handle(&self.runtime, &entry, &endpoint, &parts, host, bytes, context).await?
            }
        };
        Ok(admitted.into_response(response))
    }

    /// One call by `/rpc`, whichever listener it came by.
    pub(crate) async fn rpc<B>(
        &self,
        namespace: &Namespace,
        parts: &Parts,
        body: B,
        id: &str,
    ) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        if let Some(refused) = rpc_endpoint::check_method(&parts.method) {
            return Ok(refused);
        }
        let admitted = self.gate.admit(namespace)?;
        let read = body::read(body, self.config.message_bytes_max, self.config.message_time_max).await;
        let bytes = read.map_err(rpc_endpoint::own)?;
        let time = rpc_endpoint::timeout(&parts.headers, self.config.call_time_max);
        let context = self.context(parts, id, time);
        let snapshot = self.snapshot();
        let response =
            rpc_endpoint::handle(&self.runtime, &snapshot, namespace, parts, &bytes, context).await?;
        Ok(admitted.into_response(response))
    }

    /// The clock of a call starts here, after its body was read: a slow client costs the service nothing.
    fn context(&self, parts: &Parts, id: &str, time: Duration) -> Context {
        Context {
            account: None,
            metadata: headers::metadata(&parts.headers),
            deadline: Instant::now() + time,
            traceparent: headers::traceparent(&parts.headers),
            request_id: id.to_owned(),
        }
    }

    /// A manifest lowers the limits, never raises them.
    async fn message(&self, incoming: Inbound, entry: &crate::Entry) -> Result<Bytes, Error> {
        let service = usize::try_from(entry.revision.limits().request_bytes).unwrap_or(usize::MAX);
        let bytes_max = service.min(self.config.message_bytes_max);
        body::read(incoming, bytes_max, self.config.message_time_max).await
    }
}

/// What a request is called in answers and logs.
pub(crate) fn request_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The host that the client names: the target's in HTTP/2 and absolute form, else the one `Host` header.
fn host(parts: &Parts) -> Result<String, Error> {
    if let Some(authority) = parts.uri.authority() {
        let text = authority.as_str();
        return Ok(text.rsplit_once('@').map_or(text, |(_, host)| host).to_owned());
    }
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => match host.to_str() {
            Ok(host) => Ok(host.to_owned()),
            Err(_) => Err(Error::bad_request(GATEWAY, "the Host header is not text")),
        },
        _ => Err(Error::bad_request(GATEWAY, "a request needs one Host header")),
    }
}
