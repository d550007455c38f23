//! `GET /v1/keys`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::person::Key;

use super::{ID, shown, visible};
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
) -> Result<Json<Vec<Key>>, Error> {
    let keys = control.db.keys(&caller.namespace, &visible(&caller.identity)).await.map_err(Error::db(ID))?;
    Ok(Json(keys.into_iter().map(shown).collect()))
}
