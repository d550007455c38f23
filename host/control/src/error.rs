//! From what went wrong to what a client reads: always Micro's error object, never text from inside.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct Error(pub(crate) micro_api::Error);

impl Error {
    /// From the rows. What is the platform's fault is logged here, once.
    pub(crate) fn db(id: &'static str) -> impl Fn(micro_db::Error) -> Self {
        move |error| {
            let outside = error.to_api(id);
            if outside.code >= 500 {
                tracing::error!(error = chain(&error), "A request failed at the database");
            }
            Self(outside)
        }
    }
}

impl From<micro_api::Error> for Error {
    fn from(error: micro_api::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        // Errors of a node or a guest may carry any number.
        let status = StatusCode::from_u16(self.0.code)
            .ok()
            .filter(|status| status.is_client_error() || status.is_server_error())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0)).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// An error with its causes, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
