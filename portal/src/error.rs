//! Why a page could not be shown.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use micro_api::Error as Api;

/// Why a portal could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A template that is compiled in has a mistake.
    #[error("the template {name} is broken: {source}")]
    Template { name: &'static str, source: minijinja::Error },
}

/// What ends a request early. `guard` makes the page, which needs to know who asked for what.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// No session, or one that ended: the visitor signs in and comes back.
    SignedOut,
    /// For the visitor to read.
    Told(Api),
    /// The control API gave no answer; the reason is for the log.
    Unreachable(String),
    /// Our mistake; the reason is for the log.
    Broken(String),
}

impl Fault {
    pub(crate) fn told(code: u16, detail: impl Into<String>) -> Self {
        Self::Told(Api::new("portal", code, detail))
    }

    pub(crate) fn not_found() -> Self {
        Self::told(404, "There is no such page.")
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::SignedOut => StatusCode::UNAUTHORIZED,
            Self::Told(error) => {
                StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Self::Unreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<micro_client::Error> for Fault {
    fn from(error: micro_client::Error) -> Self {
        match error {
            micro_client::Error::Api(error) if error.code == 401 => Self::SignedOut,
            micro_client::Error::Api(error) if (400..600).contains(&error.code) => Self::Told(error),
            other if other.is_unreachable() => Self::Unreachable(other.to_string()),
            other => Self::Broken(other.to_string()),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The detail of an error that the visitor can mend in the form, such as a name that is taken; everything else ends
/// the request.
pub(crate) fn mendable(error: micro_client::Error) -> Result<String, Fault> {
    match error {
        micro_client::Error::Api(error) if matches!(error.code, 400 | 402..=404 | 409 | 410 | 422 | 429) => {
            Ok(error.detail)
        }
        other => Err(other.into()),
    }
}
