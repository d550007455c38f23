//! `POST /v1/registry/deregister`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::registry::Deregistration;

use super::not_found;
use crate::Control;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::extract;

const ID: &str = "registry";

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(which): extract::Json<Deregistration>,
) -> Result<StatusCode, Error> {
    let (name, version, nodes) = which.check().map_err(|wrong| micro_api::Error::bad_request(ID, wrong))?;
    let removed =
        control.registrations.deregister(&caller.namespace, &name.to_string(), &version, &nodes).await?;
    if removed == 0 {
        return Err(not_found(&control, &caller.namespace, ID, &name).await);
    }
    control.follow_registry().await?;
    Ok(StatusCode::NO_CONTENT)
}
