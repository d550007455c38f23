//! `POST /v1/store/{table}/write`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::store::Write;

use super::{check_key, check_table};
use crate::Control;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::extract::{self, Path};

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    Path(table): Path<String>,
    extract::Json(write): extract::Json<Write>,
) -> Result<StatusCode, Error> {
    check_table(&table)?;
    check_key(&write.key)?;
    control.node.store_write(&caller.namespace, &table, write).await?;
    Ok(StatusCode::NO_CONTENT)
}
