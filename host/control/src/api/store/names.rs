//! `GET /v1/store/databases`, `GET /v1/store/tables`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;

pub(crate) async fn databases(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
) -> Result<Json<Vec<String>>, Error> {
    Ok(Json(control.node.store_databases(&caller.namespace).await?))
}

pub(crate) async fn tables(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
) -> Result<Json<Vec<String>>, Error> {
    Ok(Json(control.node.store_tables(&caller.namespace).await?))
}
