//! `POST /v1/store/{table}/delete`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::{check_key, check_table};
use crate::Control;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::extract::{self, Path};

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct Delete {
    key: String,
}

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    Path(table): Path<String>,
    extract::Json(Delete { key }): extract::Json<Delete>,
) -> Result<StatusCode, Error> {
    check_table(&table)?;
    check_key(&key)?;
    control.node.store_delete(&caller.namespace, &table, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}
