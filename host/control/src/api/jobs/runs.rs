//! `GET /v1/jobs/runs`: what became of runs, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::jobs::Run;
use serde::Deserialize;

use super::ID;
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::Query;

/// Runs when the client names no number.
const LIMIT: i64 = 100;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct Filter {
    service: Option<String>,
    version: Option<String>,
    /// The schedule's name.
    schedule: Option<String>,
    /// At most so many, and 1 000; 0, or absent: 100.
    #[serde(default)]
    limit: i64,
}

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Query(filter): Query<Filter>,
) -> Result<Json<Vec<Run>>, Error> {
    let service = filter.service.as_deref().map(|name| crate::api::service_name(ID, name)).transpose()?;
    let service = service.map(|name| name.to_string());
    let limit = if filter.limit > 0 { filter.limit } else { LIMIT };
    let runs = control.db.runs(
        &caller.namespace,
        service.as_deref(),
        filter.version.as_deref(),
        filter.schedule.as_deref(),
        limit,
    );
    Ok(Json(runs.await.map_err(Error::db(ID))?))
}
