//! Calls of a service's endpoint through `/rpc`.

use std::time::Duration;

use bytes::Bytes;
use micro_api::routes::RPC;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::{Client, Result};

/// Longer than the longest time that the platform gives a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(330);

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
    /// Calls an endpoint and gives the reply's bytes, JSON as a rule; empty when the service sent nothing.
    pub async fn call(&self, call: &Call) -> Result<Bytes> {
        let body = json!({ "service": call.service, "endpoint": call.endpoint, "request": call.request });
        let mut request = self.request(Method::POST, self.url(RPC, &[])).timeout(CALL_TIMEOUT).json(&body);
        for (key, value) in &call.metadata {
            let header =
                HeaderName::try_from(key.as_str()).ok().zip(HeaderValue::try_from(value.as_str()).ok());
            let Some((name, value)) = header else {
                let detail = format!("`{key}={value}` cannot be metadata: it must be a valid HTTP header");
                return Err(crate::Error::Api(micro_api::Error::bad_request("micro", detail)));
            };
            request = request.header(name, value);
        }
        self.body(request).await
    }
}
