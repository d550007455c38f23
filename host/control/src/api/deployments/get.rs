//! `GET /v1/deployments/{id}`: how far a deployment is, at once or when that changes.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use micro_api::deployment::Deployment;
use serde::Deserialize;
use tokio::time::Instant;

use crate::Control;
use crate::authz::{Authorized, ReadService};
use crate::error::Error;
use crate::extract::{Path, Query};

const ID: &str = "runtime";
/// The longest wait of one request.
const WAIT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
pub(crate) struct Wait {
    /// How long to wait for a change; at most 60 000.
    wait_ms: Option<u64>,
    /// The `updated_ms` that the client knows: wait while it is the current one.
    seen: Option<i64>,
}

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<ReadService>,
    Path(id): Path<String>,
    Query(wait): Query<Wait>,
) -> Result<Json<Deployment>, Error> {
    let until = Instant::now() + Duration::from_millis(wait.wait_ms.unwrap_or(0)).min(WAIT_MAX);
    let mut changes = control.changes();
    loop {
        changes.mark_unchanged();
        let found = control.db.deployment(&caller.namespace, &id).await.map_err(Error::db(ID))?;
        let Some(record) = found else {
            return Err(micro_api::Error::not_found(ID, "deployment not found").into());
        };
        if let Ok(service) = record.deployment.service.parse() {
            caller.check_service(&service)?;
        }
        if wait.seen != Some(record.deployment.updated_ms) {
            return Ok(Json(record.deployment));
        }
        if !matches!(tokio::time::timeout_at(until, changes.changed()).await, Ok(Ok(()))) {
            return Ok(Json(record.deployment));
        }
    }
}
