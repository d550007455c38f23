//! Calls that the library does not have: signed by it, and made once.

use bytes::Bytes;
use http::{Method, Request};
use micro_s3::Http;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequestBody, HttpService};
use serde::de::DeserializeOwned;
use url::Url;

use super::S3Config;
use super::failure::Failure;

/// One bucket's address, and what calls to it are signed with.
pub(super) struct Raw {
    http: Http,
    address: Url,
    bucket: String,
    region: String,
    credential: AwsCredential,
}

/// The address of a server, with nothing but host and port.
pub(super) fn address(text: &str) -> Result<Url, crate::blob::Error> {
    let wrong = || {
        // It may hold what somebody took for the place of a secret.
        crate::blob::Error::Backend(
            "the address of S3 is not https://host or http://host:port, without user, path and query"
                .to_owned(),
        )
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let is_bare = url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if !is_bare || !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong());
    }
    Ok(url)
}

impl Raw {
    pub(super) fn new(http: Http, address: Url, config: &S3Config) -> Self {
        let credential =
            AwsCredential { key_id: config.key.clone(), secret_key: config.secret.clone(), token: None };
        Self { http, address, bucket: config.bucket.clone(), region: config.region.clone(), credential }
    }

    /// Makes a call about `name` in the bucket, or about the bucket where that is empty.
    pub(super) async fn send(
        &self,
        method: Method,
        name: &str,
        query: &[(&str, &str)],
    ) -> Result<Bytes, Failure> {
        let mut url = self.address.clone();
        url.set_path(&format!("/{}/{name}", self.bucket));
        if name.is_empty() {
            url.set_path(&format!("/{}", self.bucket));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = Request::builder().method(method).uri(url.as_str()).body(HttpRequestBody::empty());
        let mut request = request.map_err(|error| Failure::strange(&error))?;
        let authorizer = AwsAuthorizer::new(&self.credential, "s3", &self.region);
        authorizer.try_authorize(&mut request, None).map_err(|error| Failure::from(&error))?;
        let answer = self.http.call(request).await.map_err(|error| Failure::strange(&error))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(|error| Failure::strange(&error))?;
        if !status.is_success() {
            return Err(Failure::answered(status.as_u16(), &body));
        }
        Ok(body)
    }

    /// Reads what a call answers.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        name: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Failure> {
        let body = self.send(Method::GET, name, query).await?;
        quick_xml::de::from_reader(&*body).map_err(|error| Failure::strange(&error))
    }
}
