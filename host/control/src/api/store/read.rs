//! `POST /v1/store/{table}/read`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::store::{Query, Record};

use super::{check_key, check_table};
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::{self, Path};

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Path(table): Path<String>,
    extract::Json(query): extract::Json<Query>,
) -> Result<Json<Vec<Record>>, Error> {
    check_table(&table)?;
    if !query.prefix && !query.suffix {
        check_key(&query.key)?;
    }
    Ok(Json(control.node.store_read(&caller.namespace, &table, query).await?))
}
