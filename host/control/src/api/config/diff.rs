//! `GET /v1/config/diff`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::config::{Difference, differences};
use serde::Deserialize;

use super::ID;
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::Query;

/// Between which versions.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct Span {
    /// Absent: the version before `to`.
    from: Option<i64>,
    /// Absent: the newest.
    to: Option<i64>,
}

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Query(span): Query<Span>,
) -> Result<Json<Vec<Difference>>, Error> {
    let failed = Error::db(ID);
    let (to, after) = match span.to {
        Some(to) => (to, control.db.config_at(&caller.namespace, to).await.map_err(&failed)?),
        None => {
            let held = control.db.config(&caller.namespace).await.map_err(&failed)?;
            (held.version, held.document)
        }
    };
    let from = span.from.unwrap_or_else(|| to.saturating_sub(1).max(0));
    let before = control.db.config_at(&caller.namespace, from).await.map_err(&failed)?;
    Ok(Json(differences(&before, &after)))
}
