//! `POST /v1/config/restore`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::config::{Change, Restore};
use micro_db::ConfigWrite;

use super::ID;
use crate::Control;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::extract;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(Restore { version }): extract::Json<Restore>,
) -> Result<Json<Change>, Error> {
    let write = ConfigWrite::Restore(version);
    let change =
        control.db.write_config(&caller.namespace, write, &caller.actor()).await.map_err(Error::db(ID))?;
    control.node.config_changed().await;
    Ok(Json(change.unwrap_or_default()))
}
