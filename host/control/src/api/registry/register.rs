//! `POST /v1/registry/services`.

use std::sync::Arc;

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
    let db = &control.db;
    db.register_external(&caller.namespace, &service, ttl_ms).await.map_err(Error::db(ID))?;
    control.follow_registry().await.map_err(Error::db(ID))?;
    Ok(StatusCode::NO_CONTENT)
}
