//! `GET /v1/config`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::config::{Entry, find};
use serde::Deserialize;

use super::{ID, masked, missing, parse};
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::Query;

/// Which value.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct At {
    /// Dotted; absent: the whole document.
    #[serde(default)]
    path: String,
}

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Query(At { path }): Query<At>,
) -> Result<Json<Entry>, Error> {
    let at = if path.is_empty() { None } else { Some(parse(&path)?) };
    let held = control.db.config(&caller.namespace).await.map_err(Error::db(ID))?;
    let secret = held.secrets.iter().any(|secret| secret.name == path);
    let document = masked(held)?;
    let value = match &at {
        None => serde_json::Value::Object(document),
        Some(at) => find(&document, at).cloned().ok_or_else(missing)?,
    };
    Ok(Json(Entry { path, value, secret }))
}
