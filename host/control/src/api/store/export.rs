//! `POST /v1/store/{table}/export`: a table, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::store::{Export, Page};

use super::check_table;
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::{self, Path};

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Path(table): Path<String>,
    extract::Json(export): extract::Json<Export>,
) -> Result<Json<Page>, Error> {
    check_table(&table)?;
    Ok(Json(control.node.store_export(&caller.namespace, &table, export).await?))
}
