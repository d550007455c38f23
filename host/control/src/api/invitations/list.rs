//! `GET /v1/invitations`: those of the namespace that wait.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::team::Invitation;

use crate::Control;
use crate::authz::{Authorized, Manage};
use crate::error::Error;
use crate::people::ID;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Manage>,
) -> Result<Json<Vec<Invitation>>, Error> {
    control.db.invitations(&caller.namespace).await.map(Json).map_err(Error::db(ID))
}
