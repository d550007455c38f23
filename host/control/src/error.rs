//! From what went wrong to what a client reads: always Micro's error object, never text from inside.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// An answer that is an error, and in how many milliseconds trying again makes sense, where that is known.
#[derive(Debug)]
pub(crate) struct Error(pub(crate) micro_api::Error, Option<i64>);

impl Error {
    /// From the rows. What is the platform's fault is logged here, once.
    pub(crate) fn db(id: &'static str) -> impl Fn(micro_db::Error) -> Self {
        move |error| {
            let outside = error.to_api(id);
            if outside.code >= 500 {
                tracing::error!(error = chain(&error), "A request failed at the database");
            }
            Self(outside, error.retry_ms())
        }
    }
}

impl From<micro_api::Error> for Error {
    fn from(error: micro_api::Error) -> Self {
        Self(error, None)
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
        if let Some(ms) = self.1 {
            // Whole seconds, and never too early.
            let seconds = ms.max(0) / 1_000 + 1;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
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
