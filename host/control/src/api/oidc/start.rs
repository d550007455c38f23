//! `POST /v1/oidc`: somebody wants to sign in with the provider.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::oidc::{OidcStart, OidcStarted};

use super::{begin, provider};
use crate::Control;
use crate::authz::{Authorized, Public};
use crate::error::Error;
use crate::extract;
use crate::people::OIDC_STARTS;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    visitor: Authorized<Public>,
    extract::Json(start): extract::Json<OidcStart>,
) -> Result<(StatusCode, Json<OidcStarted>), Error> {
    provider(&control)?;
    control.count(OIDC_STARTS, &visitor.address.to_string()).await?;
    Ok((StatusCode::CREATED, Json(begin(&control, "", &start).await?)))
}
