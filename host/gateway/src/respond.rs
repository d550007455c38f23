//! Answers of the gateway itself, and the one table from an error to a response.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use micro_api::Error;
use micro_runtime::Body;

/// An error, and the headers that help with it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Error,
    /// Few refusals have any.
    headers: Option<Box<HeaderMap>>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, headers: None }
    }
}

impl Refusal {
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().append(name, value);
        self
    }

    /// Says after how many seconds the same request may come again.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = error(&self.error);
        for (name, value) in self.headers.iter().flat_map(|headers| headers.iter()) {
            response.headers_mut().append(name, value.clone());
        }
        response
    }
}

/// A whole body.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Micro's error object with its code as the status.
fn error(error: &Error) -> Response<Body> {
    let status = StatusCode::from_u16(error.code).ok().filter(|status| status.as_u16() >= 400);
    let mut response = json(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error.to_json());
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    with_type(status, "application/json", body)
}

pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    with_type(status, "text/plain; charset=utf-8", body)
}

pub(crate) fn with_type(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}
