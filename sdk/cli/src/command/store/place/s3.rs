//! An object in S3, or in what speaks as S3 does. Where it is and who asks comes from the usual `AWS_*` variables; the
//! platform's server never sees them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::TryStreamExt;
use http_body_util::BodyExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::buffered::BufWriter;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStoreExt};
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

/// Bytes of a part. S3 takes 10 000 of them: 80 GiB.
const PART_BYTES: usize = 8 << 20;
/// Parts that are on their way at once.
const PARTS_AT_ONCE: usize = 4;
/// A server that does not accept a connection in this time counts as absent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that says nothing for this time counts as gone.
const SILENCE: Duration = Duration::from_secs(60);

/// `s3://bucket/key`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::command::store) struct Object {
    bucket: String,
    key: Path,
}

impl FromStr for Object {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (bucket, key) = text.split_once('/').unwrap_or((text, ""));
        if bucket.is_empty() || key.is_empty() {
            return Err("an object in S3 is s3://BUCKET/KEY".to_owned());
        }
        let key = Path::parse(key).map_err(|error| format!("this is no key: {error}"))?;
        Ok(Self { bucket: bucket.to_owned(), key })
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

impl Object {
    fn store(&self) -> Result<AmazonS3> {
        // An address without TLS is taken as it is: who sets one means it, and the secret key is never sent.
        let builder =
            AmazonS3Builder::from_env().with_bucket_name(&self.bucket).with_http_connector(Connector);
        builder.build().context("the AWS_* variables do not say how to reach S3")
    }

    /// Its bytes, as they come.
    pub(super) async fn read(&self) -> Result<impl AsyncRead + Unpin + use<>> {
        let object = self.store()?.get(&self.key).await.with_context(|| format!("cannot read {self}"))?;
        Ok(StreamReader::new(object.into_stream().map_err(std::io::Error::other)))
    }

    /// Writes it: in one request where it is small, else in parts.
    pub(super) fn writer(&self) -> Result<BufWriter> {
        let store = Arc::new(self.store()?);
        let writer = BufWriter::with_capacity(store, self.key.clone(), PART_BYTES);
        Ok(writer.with_max_concurrency(PARTS_AT_ONCE))
    }
}

/// Makes requests by the HTTP client that the rest of this program uses.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("micro/", env!("CARGO_PKG_VERSION")))
            .build();
        let client =
            client.map_err(|error| object_store::Error::Generic { store: "S3", source: error.into() })?;
        Ok(HttpClient::new(Http(client)))
    }
}

#[derive(Debug)]
struct Http(reqwest::Client);

#[async_trait::async_trait]
impl HttpService for Http {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let request = self.0.request(parts.method, parts.uri.to_string()).headers(parts.headers);
        let response = request.body(reqwest::Body::wrap(body)).send().await.map_err(failure)?;
        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body.map_err(failure))))
    }
}

/// What may be sent again is for the caller to know; here is only said what kind of failure it was.
fn failure(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_decode() {
        HttpErrorKind::Decode
    } else if error.is_request() || error.is_body() {
        HttpErrorKind::Interrupted
    } else {
        HttpErrorKind::Unknown
    };
    HttpError::new(kind, error.without_url())
}
