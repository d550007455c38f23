//! `DELETE /v1/invitations/{id}`: takes back one that waits.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::Control;
use crate::authz::{Authorized, Manage};
use crate::error::Error;
use crate::extract::Path;
use crate::people::ID;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Manage>,
    Path(id): Path<String>,
) -> Result<StatusCode, Error> {
    let withdrawn = control.db.withdraw_invitation(&caller.namespace, &id, &caller.actor()).await;
    withdrawn.map_err(Error::db(ID))?;
    Ok(StatusCode::NO_CONTENT)
}
