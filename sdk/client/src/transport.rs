//! One place that sends requests and reads answers.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::reason;
use crate::{Address, Error, Result};

/// A larger answer is an error.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// A server that does not accept a connection in this time counts as absent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time of one plain request. Calls, waits, uploads and logs set their own.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to one control API.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    address: Address,
    /// Sent with every request: the credential, the namespace.
    headers: HeaderMap,
}

/// The namespace that a credential of several namespaces acts in.
const NAMESPACE: HeaderName = HeaderName::from_static("micro-namespace");
/// Proves that a request which names another client's address comes from the platform's own portal.
const PORTAL: HeaderName = HeaderName::from_static("micro-portal");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl Client {
    /// A client of the server at `address`. Nothing is sent yet.
    pub fn new(address: Address) -> Result<Self> {
        let mut builder = builder();
        if address.is_loopback() {
            builder = builder.no_proxy();
        }
        Self::build(builder, address)
    }

    /// A client of the server of this machine that listens on the socket at `path`: the socket's owner is the caller,
    /// so no credential is needed. `address` is what messages call it.
    pub fn on_socket(path: &std::path::Path, address: Address) -> Result<Self> {
        Self::build(builder().no_proxy().unix_socket(path), address)
    }

    fn build(builder: reqwest::ClientBuilder, address: Address) -> Result<Self> {
        let http = builder.build().map_err(|error| transport(&address, &error))?;
        Ok(Self { http, address, headers: HeaderMap::new() })
    }

    /// The same client with an access token, an API key or a session. `None` when the text cannot be a credential.
    pub fn with_credential(&self, credential: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(&format!("Bearer {credential}")).ok()?;
        value.set_sensitive(true);
        Some(self.with_header(AUTHORIZATION, value))
    }

    /// The same client acting in `namespace`.
    pub fn in_namespace(&self, namespace: &micro_api::Namespace) -> Self {
        match HeaderValue::from_str(namespace.as_str()) {
            Ok(value) => self.with_header(NAMESPACE, value),
            Err(_) => self.clone(),
        }
    }

    /// The same client speaking for a visitor at `address`: limits count for that address. `secret` is the one that
    /// server and portal share.
    pub fn for_visitor(&self, secret: &str, address: std::net::IpAddr, agent: &str) -> Self {
        let Ok(mut secret) = HeaderValue::from_str(secret) else { return self.clone() };
        secret.set_sensitive(true);
        let mut next = self.with_header(PORTAL, secret);
        if let Ok(address) = HeaderValue::from_str(&address.to_string()) {
            next.headers.insert(FORWARDED_FOR, address);
        }
        if let Ok(agent) = HeaderValue::from_str(agent) {
            next.headers.insert(reqwest::header::USER_AGENT, agent);
        }
        next
    }

    fn with_header(&self, name: HeaderName, value: HeaderValue) -> Self {
        let mut next = self.clone();
        next.headers.insert(name, value);
        next
    }

    /// Where it connects to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The server's version.
    pub async fn version(&self) -> Result<String> {
        #[derive(serde::Deserialize)]
        struct Version {
            version: String,
        }
        let answer: Version = self.get(self.url(micro_api::routes::VERSION, &[])).await?;
        Ok(answer.version)
    }

    /// `path` with `rest` as further segments, each percent-encoded.
    pub(crate) fn url(&self, path: &str, rest: &[&str]) -> Url {
        let mut url = self.address.url().clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/').skip(1)).extend(rest);
        }
        url
    }

    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url).headers(self.headers.clone());
        request.header(ACCEPT, "application/json").timeout(REQUEST_TIMEOUT)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T> {
        self.json(self.request(Method::GET, url)).await
    }

    /// Sends `body` as JSON and reads JSON.
    pub(crate) async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: &impl Serialize,
    ) -> Result<T> {
        self.json(self.request(method, url).json(body)).await
    }

    /// Reads the answer's JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let body = self.body(request).await?;
        serde_json::from_slice(&body).map_err(|error| self.protocol(error.to_string()))
    }

    /// Reads the answer's bytes.
    pub(crate) async fn body(&self, request: RequestBuilder) -> Result<Bytes> {
        let response = self.send(request).await?;
        self.collect(response).await
    }

    /// Sends, and turns a status that is no success into an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|error| match error.is_connect() {
            true => Error::Connect { address: self.address.to_string(), reason: reason(&error) },
            false => transport(&self.address, &error),
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let body = self.collect(response).await?;
        Err(Error::Api(api_error(code, &body)))
    }

    /// Reads a body within its bound.
    pub(crate) async fn collect(&self, mut response: Response) -> Result<Bytes> {
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(self.protocol(format!("the answer is larger than {} MiB", BODY_BYTES_MAX >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    pub(crate) fn broken(&self, error: &reqwest::Error) -> Error {
        transport(&self.address, error)
    }

    pub(crate) fn protocol(&self, reason: impl Into<String>) -> Error {
        Error::Protocol { address: self.address.to_string(), reason: reason.into() }
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("micro/", env!("CARGO_PKG_VERSION")))
}

fn transport(address: &Address, error: &reqwest::Error) -> Error {
    Error::Transport { address: address.to_string(), reason: reason(error) }
}

/// The server's error object; whatever else it sent becomes the detail.
fn api_error(code: u16, body: &[u8]) -> micro_api::Error {
    let mut error = micro_api::Error::parse(&String::from_utf8_lossy(body));
    if error.code == 0 {
        error.code = code;
    }
    if error.status.is_empty() {
        error.status = micro_api::error::status_text(code).to_owned();
    }
    error
}

/// The content type of a request that changes something and has no body: the server refuses what a browser's form
/// could send.
pub(crate) fn as_json(request: RequestBuilder) -> RequestBuilder {
    request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
}
