//! `PUT /v1/members/{id}`: another role, by an owner.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::team::ChangeRole;

use crate::Control;
use crate::authz::{Authorized, Manage};
use crate::error::Error;
use crate::extract::{self, Path};
use crate::people::ID;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Manage>,
    Path(id): Path<String>,
    extract::Json(change): extract::Json<ChangeRole>,
) -> Result<StatusCode, Error> {
    let changed = control.db.change_role(&caller.namespace, &id, change.role, &caller.actor()).await;
    changed.map_err(Error::db(ID))?;
    control.follow().await;
    Ok(StatusCode::NO_CONTENT)
}
