//! `DELETE /v1/services/{name}`: stop a version. When this answers, nothing is routed to it and its row is gone; what
//! it was doing drains.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::deployment::Deployment;
use serde::Deserialize;

use super::{ID, LATEST};
use crate::Control;
use crate::api::service_name;
use crate::authz::{Authorized, DeployService};
use crate::error::Error;
use crate::extract::{Path, Query};
use crate::near::with_hint;

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
pub(crate) struct Which {
    /// `latest` when absent.
    version: Option<String>,
}

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<DeployService>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Result<Json<Deployment>, Error> {
    let name = service_name(ID, &name)?;
    caller.check_service(&name)?;
    let name = name.to_string();
    let version = which.version.as_deref().filter(|version| !version.is_empty()).unwrap_or(LATEST);
    let killed = match control.db.kill(&caller.namespace, &name, version).await {
        Err(micro_db::Error::NotRunning { .. }) => {
            let versions = control.db.versions(&caller.namespace, None, None).await.map_err(Error::db(ID))?;
            let known: Vec<String> = versions.into_iter().map(|version| version.service).collect();
            let detail = with_hint(&format!("{name}:{version} is not running"), &name, &known);
            return Err(micro_api::Error::not_found(ID, detail).into());
        }
        other => other.map_err(Error::db(ID))?,
    };
    tracing::info!("Deleting service {} version {}", killed.service, killed.version);
    control.poke();
    control.route().await.map_err(Error::db(ID))?;
    Ok(Json(killed))
}
