//! `POST /v1/store/{table}/list`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::store::Query;

use super::check_table;
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::{self, Path};

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Path(table): Path<String>,
    extract::Json(query): extract::Json<Query>,
) -> Result<Json<Vec<String>>, Error> {
    check_table(&table)?;
    Ok(Json(control.node.store_list(&caller.namespace, &table, query).await?))
}
