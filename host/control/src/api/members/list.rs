//! `GET /v1/members`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::team::Member;

use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::people::ID;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
) -> Result<Json<Vec<Member>>, Error> {
    control.db.members(&caller.namespace).await.map(Json).map_err(Error::db(ID))
}
