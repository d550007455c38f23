//! `POST /v1/config/delete`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::config::AtPath;
use micro_db::ConfigWrite;

use super::{ID, parse};
use crate::Control;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::extract;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(AtPath { path }): extract::Json<AtPath>,
) -> Result<StatusCode, Error> {
    let write = ConfigWrite::Delete(parse(&path)?);
    control.db.write_config(&caller.namespace, write, &caller.actor()).await.map_err(Error::db(ID))?;
    control.node.config_changed().await;
    Ok(StatusCode::NO_CONTENT)
}
