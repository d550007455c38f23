//! `POST /v1/registry/services`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::registry::Registration;

use crate::Control;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::extract;

const ID: &str = "registry";

/// This node knows it when the answer comes; others within a second.
pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(registration): extract::Json<Registration>,
) -> Result<StatusCode, Error> {
    let (service, ttl_ms) = registration.check().map_err(|wrong| micro_api::Error::bad_request(ID, wrong))?;
    let ttl = ttl_ms.map(|ttl| Duration::from_millis(u64::try_from(ttl).unwrap_or_default()));
    control.registrations.register(&caller.namespace, &service, ttl).await?;
    control.follow_registry().await?;
    Ok(StatusCode::NO_CONTENT)
}
