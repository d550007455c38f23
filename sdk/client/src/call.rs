//! Calls of a service's endpoint through `/rpc`.

use std::time::Duration;

use bytes::Bytes;
use micro_api::routes::RPC;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{Client, Result};

/// Longer than the longest time that the platform gives a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(330);

/// The content type of a stream for those who asked for none.
const LINES: &str = "application/x-ndjson";

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The service, with or without Micro's prefixes.
    pub service: String,
    /// `Service.Method`.
    pub endpoint: String,
    /// The request's fields.
    pub request: Value,
    /// Sent as HTTP headers.
    pub metadata: Vec<(String, String)>,
}

impl Client {
    /// Calls an endpoint and gives the reply's bytes, JSON as a rule; empty when the service sent nothing. 400 for an
    /// endpoint that replies with a stream: [`Client::stream`] reads it.
    pub async fn call(&self, call: &Call) -> Result<Bytes> {
        let request = self.request(Method::POST, self.url(RPC, &[])).timeout(CALL_TIMEOUT);
        let response = self.send(call.add_to(request)?).await?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with(LINES)) {
            let detail = format!("{} replies with a stream: use `micro stream`", call.endpoint);
            return Err(crate::Error::Api(micro_api::Error::bad_request("micro", detail)));
        }
        self.collect(response).await
    }
}

impl Call {
    /// The request with body and metadata.
    pub(crate) fn add_to(&self, request: RequestBuilder) -> Result<RequestBuilder> {
        let body = json!({ "service": self.service, "endpoint": self.endpoint, "request": self.request });
        let mut request = request.json(&body);
        for (key, value) in &self.metadata {
            let header =
                HeaderName::try_from(key.as_str()).ok().zip(HeaderValue::try_from(value.as_str()).ok());
            let Some((name, value)) = header else {
                let detail = format!("`{key}={value}` cannot be metadata: it must be a valid HTTP header");
                return Err(crate::Error::Api(micro_api::Error::bad_request("micro", detail)));
            };
            request = request.header(name, value);
        }
        Ok(request)
    }
}
