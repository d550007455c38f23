//! What handlers take from a request, with errors in Micro's form.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::Control;
use crate::error::Error;

/// How long a body may take. Uploads have a bound of their own.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body, bounded by `body_bytes_max`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Control>> for Json<T> {
    type Rejection = Error;
    async fn from_request(request: Request, control: &Arc<Control>) -> Result<Self, Error> {
        let max = control.config.body_bytes_max;
        let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(request.into_body(), max).collect()).await;
        let body =
            body.map_err(|_| micro_api::Error::timeout("control", "the body took longer than 30 s"))?;
        let body = body.map_err(|error| {
            if error.downcast_ref::<LengthLimitError>().is_some() {
                micro_api::Error::new("control", 413, format!("the body is larger than {max} bytes"))
            } else {
                micro_api::Error::bad_request("control", "the body ended early")
            }
        })?;
        serde_json::from_slice(&body.to_bytes()).map(Self).map_err(|error| {
            micro_api::Error::bad_request("control", format!("the body is not valid: {error}")).into()
        })
    }
}

/// Query parameters. Unknown ones are ignored.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Control>> for Query<T> {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Control>) -> Result<Self, Error> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|query| Self(query.0)).map_err(|error| {
            micro_api::Error::bad_request("control", format!("the query is not valid: {}", error.body_text()))
                .into()
        })
    }
}

/// Path parameters.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Control>> for Path<T> {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, Error> {
        let path = axum::extract::Path::from_request_parts(parts, control).await;
        path.map(|path| Self(path.0)).map_err(|error| {
            micro_api::Error::bad_request("control", format!("the path is not valid: {}", error.body_text()))
                .into()
        })
    }
}
