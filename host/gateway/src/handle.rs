//! One request, phase by phase. The page to read first.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use hyper::body::Incoming;
use micro_api::{Error, Namespace};
use micro_runtime::{Body, BoxError, Context};

use crate::admit::Admitted;
use crate::authenticate::Arrived;
use crate::authorize::{Authorized, sees_service};
use crate::blob::RESERVED;
use crate::body::{Inbound, Lingering};
use crate::client::{Client, Peer};
use crate::dispatch::check_endpoint;
use crate::exchanges::Exchange;
use crate::handler::stream::{self, Asked, Form};
use crate::handler::{api, http as http_handler, rpc, rpc_endpoint};
use crate::place::{GATEWAY, Place, host_name};
use crate::rate::{self, Left};
use crate::resolve::{Handler, Matched, resolve};
use crate::respond::Refusal;
use crate::watched::Right;
use crate::{Gateway, access_log, body, credential, headers, respond};

/// The methods that endpoints answer, as `OPTIONS` tells them.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

impl Gateway {
    /// place → built-in paths → authenticate → route → authorize → admit → call → respond.
    pub(crate) async fn handle(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
        exchange: Exchange,
    ) -> Result<Response<Body>, Infallible> {
        let began = Instant::now();
        let (mut parts, body) = request.into_parts();
        let body = Lingering::new(body, parts.version, self.config.linger_time_max);
        let id = request_id();
        let client = peer.client(&parts.headers, &self.config);
        let line = access_log::Line::new(&parts, &client.header);
        let answered = match self.place(&mut parts, client) {
            Ok((place, visitor)) => match self.built_in(&parts, &place) {
                Some(response) => Ok(response),
                None => self.answer(parts, body, &place, &visitor, &id).await,
            },
            Err(error) => Err(error.into()),
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
        answered: Result<Response<Body>, Refusal>,
        id: &str,
        took: Duration,
    ) -> Response<Body> {
        let mut response = answered.unwrap_or_else(Refusal::into_response);
        if let Ok(value) = HeaderValue::from_str(id) {
            response.headers_mut().insert("micro-id", value);
        }
        self.metrics.answered(response.status(), took);
        response
    }

    /// Checks what the request says of itself and removes what only the platform may say.
    fn place(&self, parts: &mut Parts, client: Client) -> Result<(Place, Visitor), Error> {
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
        parts.headers.insert("x-forwarded-for", client.header.clone());
        parts.headers.insert("x-forwarded-proto", HeaderValue::from_static(client.scheme.as_str()));
        if let Ok(value) = HeaderValue::from_str(place.namespace().as_str()) {
            parts.headers.insert("micro-namespace", value);
        }
        Ok((place, Visitor { host, client }))
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
        mut parts: Parts,
        incoming: Inbound,
        place: &Place,
        visitor: &Visitor,
        id: &str,
    ) -> Result<Response<Body>, Refusal> {
        let (namespace, snapshot) = (place.namespace(), self.snapshot());
        let tenant = snapshot.tenant(namespace);
        tenant.check_open(namespace)?;
        if parts.uri.path().starts_with(RESERVED) {
            return self.blob(&parts, place, visitor, &tenant).await;
        }
        let arrived = self.authenticate(&mut parts.headers, visitor).await?;
        if let ("/rpc", Place::Namespace(namespace)) = (parts.uri.path(), place) {
            return self.rpc(namespace, &parts, incoming, arrived, id).await;
        }
        let sees = |name: &str| sees_service(&arrived.caller, &tenant, namespace, name);
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        let Matched { entry, handler } =
            resolve(&snapshot, place, method, &host_name(&visitor.host), path, &sees)?;
        if parts.method == Method::OPTIONS && handler != Handler::Http {
            // A question about an endpoint is no call of it.
            let mut response = respond::empty(StatusCode::OK);
            response.headers_mut().insert(header::ALLOW, METHODS);
            return Ok(response);
        }
        let endpoint = match &handler {
            Handler::Http => path.to_owned(),
            Handler::Rpc { endpoint, .. } | Handler::Api { endpoint } => endpoint.clone(),
        };
        let authorized = Authorized::new(arrived.caller, Arc::clone(&tenant), entry, endpoint)?;
        if handler != Handler::Http {
            check_endpoint(&authorized)?;
        }
        let left = Left::tighter(arrived.left, self.rates.namespace(namespace, &tenant)?);
        let admitted = self.gate.admit(namespace, tenant.concurrency).await?;
        self.charge(&authorized)?;
        let streams = match &handler {
            Handler::Http => true,
            Handler::Rpc { .. } => {
                stream::may_stream(&authorized.entry, &authorized.endpoint, &parts.headers)
            }
            Handler::Api { .. } => false,
        };
        let call = self.call(parts, incoming, visitor, handler, (&authorized, &admitted), id);
        let mut response = call.await?;
        if let Some(left) = left {
            left.tell(response.headers_mut());
        }
        if streams {
            response = self.right(namespace, arrived.token).watch(response);
        }
        Ok(admitted.into_response(response))
    }

    /// Hands an authorized and admitted request to its handler.
    async fn call(
        &self,
        parts: Parts,
        incoming: Inbound,
        visitor: &Visitor,
        handler: Handler,
        right: (&Authorized, &Admitted),
        id: &str,
    ) -> Result<Response<Body>, Error> {
        let authorized = right.0;
        let mut response = match handler {
            Handler::Http => {
                let context = self.context(right, &parts, id, self.config.http_time_max);
                http_handler::handle(
                    &self.runtime,
                    &self.config,
                    authorized,
                    parts,
                    visitor,
                    incoming,
                    context,
                )
                .await?
            }
            Handler::Rpc { fields, .. } => {
                if let Some(form) = Form::of(authorized, &parts)? {
                    let asked = Asked { form, parts: &parts, fields, body: incoming };
                    return self.stream(asked, right, id).await;
                }
                let bytes = self.message(incoming, &authorized.entry).await?;
                let context = self.context(right, &parts, id, self.config.call_time_max);
                return rpc::handle(&self.runtime, authorized, &parts, fields, bytes, context).await;
            }
            Handler::Api { .. } => {
                let bytes = self.message(incoming, &authorized.entry).await?;
                let context = self.context(right, &parts, id, self.config.call_time_max);
                api::handle(&self.runtime, authorized, &parts, &visitor.host, bytes, context).await?
            }
        };
        // These headers are the service's own words.
        credential::strip_answer(response.headers_mut(), &visitor.host, &self.config.domain);
        Ok(response)
    }

    /// One call by `/rpc`, whichever listener it came by. What is called stands in the body, so a permit comes before
    /// the rules are asked: bodies that are read have a bound.
    pub(crate) async fn rpc<B>(
        &self,
        namespace: &Namespace,
        parts: &Parts,
        body: B,
        arrived: Arrived,
        id: &str,
    ) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        if let Some(refused) = rpc_endpoint::check_method(&parts.method) {
            return Ok(refused);
        }
        let concurrency = self.snapshot().tenant(namespace).concurrency;
        let admitted = self.gate.admit(namespace, concurrency).await?;
        let read = body::read(body, self.config.message_bytes_max, self.config.message_time_max).await;
        let bytes = read.map_err(rpc_endpoint::own)?;
        let call = rpc_endpoint::parse(&parts.headers, &bytes)?;
        let snapshot = self.snapshot();
        let tenant = snapshot.tenant(namespace);
        tenant.check_open(namespace)?;
        let sees = |name: &str| sees_service(&arrived.caller, &tenant, namespace, name);
        let entry = Arc::clone(rpc_endpoint::find(&snapshot, namespace, &call, &sees)?);
        let authorized = Authorized::new(arrived.caller, Arc::clone(&tenant), entry, call.endpoint)?;
        check_endpoint(&authorized)?;
        let left = Left::tighter(arrived.left, self.rates.namespace(namespace, &tenant)?);
        self.charge(&authorized)?;
        let streams = stream::is_streamed_rpc(&authorized, &parts.headers);
        let time_max = if streams { self.config.http_time_max } else { self.config.call_time_max };
        let time = rpc_endpoint::timeout(&parts.headers, time_max);
        let context = self.context((&authorized, &admitted), parts, id, time);
        let mut response = if streams {
            let answer = self.stream_rpc(&authorized, call.request, &parts.headers, context).await?;
            self.right(namespace, arrived.token).watch(answer)
        } else {
            rpc_endpoint::handle(&self.runtime, &authorized, call.request, context).await?
        };
        if let Some(left) = left {
            left.tell(response.headers_mut());
        }
        Ok(admitted.into_response(response))
    }

    /// What an answer that is streamed depends on until its end.
    pub(crate) fn right(&self, namespace: &Namespace, token: Option<Arc<str>>) -> Right {
        Right {
            snapshot: self.snapshot.clone(),
            authenticator: Arc::clone(&self.authenticator),
            namespace: namespace.clone(),
            token,
            period: self.config.look_again_after,
        }
    }

    /// Counts an admitted request against the namespace's budgets.
    fn charge(&self, authorized: &Authorized) -> Result<(), Refusal> {
        let key = &authorized.entry.key;
        self.quota.admit(&key.namespace, &key.name).map_err(|over| rate::exceeded(&over, now_ms()))
    }

    /// The clock of a call starts here, after its body was read: a slow client costs the service nothing. No call is
    /// made without a context, and no context without the rules' word and a permit.
    pub(crate) fn context(
        &self,
        (authorized, _): (&Authorized, &Admitted),
        parts: &Parts,
        id: &str,
        time: Duration,
    ) -> Context {
        Context {
            account: authorized.account(),
            metadata: headers::metadata(&parts.headers),
            deadline: Instant::now() + time,
            traceparent: headers::traceparent(&parts.headers),
            request_id: id.to_owned(),
        }
    }

    /// A manifest lowers the limits, never raises them.
    pub(crate) async fn message(&self, incoming: Inbound, entry: &crate::Entry) -> Result<Bytes, Error> {
        body::read(incoming, self.message_bytes_max(entry), self.config.message_time_max).await
    }

    /// Most bytes of one message to a service.
    pub(crate) fn message_bytes_max(&self, entry: &crate::Entry) -> usize {
        let service = usize::try_from(entry.request_bytes_max()).unwrap_or(usize::MAX);
        service.min(self.config.message_bytes_max)
    }
}

/// Who asks, and by which address of ours.
#[derive(Debug)]
pub(crate) struct Visitor {
    /// With its port, as the client named it.
    pub(crate) host: String,
    pub(crate) client: Client,
}

/// Unix time in milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
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
