//! `GET /v1/auth/rules`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::auth::Rule;

use super::ID;
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
) -> Result<Json<Vec<Rule>>, Error> {
    Ok(Json(control.db.rules(&caller.namespace).await.map_err(Error::db(ID))?))
}
