//! How calls reach the server: HTTP/1.1, with TLS by the authorities that the machine trusts.
//!
//! No proxy, no redirect and no decoding stands between: what arrives are the bytes that the server sent.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use http_body_util::{BodyExt, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The slowest line on which an upload still succeeds: so many bytes add a second to what a call may take.
const BYTES_A_SECOND: usize = 256 << 10;

/// A connection that nobody uses is kept for so long; servers close it after a minute or later.
const IDLE: Duration = Duration::from_secs(20);
/// More than any list or piece has.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// How long a call that sends so many bytes may take, where one that sends none may take `base`.
pub fn allowed(base: Duration, bytes: usize) -> Duration {
    base + Duration::from_secs((bytes / BYTES_A_SECOND) as u64)
}

/// Makes one try of a call.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpsConnector<Tcp>, HttpRequestBody>,
    try_timeout: Duration,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("try_timeout", &self.try_timeout).finish_non_exhaustive()
    }
}

impl Http {
    /// A connection may take `connect_timeout`, and a try `try_timeout` and what [`allowed`] adds.
    ///
    /// # Errors
    /// When TLS cannot be set up; the text is for the operator.
    pub fn new(connect_timeout: Duration, try_timeout: Duration) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        // Where some cannot be read, the others count.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("set TLS up for S3: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self { client, try_timeout })
    }
}

impl HttpConnector for Http {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Http {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // The library takes a deletion for one that must not be made twice. Ours may be.
        let again = request.method() == Method::DELETE;
        let kind = |kind| if again { HttpErrorKind::Request } else { kind };
        let within = allowed(self.try_timeout, request.body().content_length());
        let answer = tokio::time::timeout(within, self.client.request(request)).await.map_err(|_| {
            HttpError::new(
                kind(HttpErrorKind::Timeout),
                io::Error::other(format!("no answer within {within:?}")),
            )
        })?;
        let answer = answer.map_err(|error| {
            // A connection that broke may have carried the call: only what may be made twice is tried again.
            let told = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted };
            HttpError::new(kind(told), io::Error::other(chain(&error)))
        })?;
        Ok(answer.map(|body| {
            HttpResponseBody::new(Limited::new(body, ANSWER_BYTES_MAX).map_err(|error| {
                HttpError::new(HttpErrorKind::Interrupted, io::Error::other(chain(&*error)))
            }))
        }))
    }
}

/// An error and what caused it, without what is said twice.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}
