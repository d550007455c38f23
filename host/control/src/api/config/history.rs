//! `GET /v1/config/history`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::config::Change;
use serde::Deserialize;

use super::ID;
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::Query;

/// How many.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct Page {
    /// At most so many of the newest; absent: all that are kept.
    limit: Option<i64>,
}

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Query(Page { limit }): Query<Page>,
) -> Result<Json<Vec<Change>>, Error> {
    let limit = limit.unwrap_or(micro_db::config::VERSIONS_MAX);
    let history = control.db.config_history(&caller.namespace, limit).await;
    history.map(Json).map_err(Error::db(ID))
}
