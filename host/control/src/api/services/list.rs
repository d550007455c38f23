//! `GET /v1/services`: the rows of `micro status`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::deployment::{DeploymentState, ServiceStatus};
use micro_db::Version;
use serde::Deserialize;

use super::{ID, LATEST};
use crate::Control;
use crate::api::service_name;
use crate::authz::{Authorized, ReadService};
use crate::error::Error;
use crate::extract::Query;

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
pub(crate) struct Filter {
    /// Only this service.
    name: Option<String>,
    /// Only this version.
    version: Option<String>,
}

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<ReadService>,
    Query(filter): Query<Filter>,
) -> Result<Json<Vec<ServiceStatus>>, Error> {
    let name = match filter.name.filter(|name| !name.is_empty()) {
        Some(name) => Some(service_name(ID, &name)?.to_string()),
        None => None,
    };
    let version = filter.version.as_deref();
    let versions = find(&control, &caller, name.as_deref(), version).await.map_err(Error::db(ID))?;
    let visible = |version: &&Version| {
        version.service.parse().is_ok_and(|service| caller.check_service(&service).is_ok())
    };
    Ok(Json(versions.iter().filter(visible).map(row).collect()))
}

/// By the service's name; failing that by the name of its source.
async fn find(
    control: &Control,
    caller: &Authorized<ReadService>,
    name: Option<&str>,
    version: Option<&str>,
) -> Result<Vec<Version>, micro_db::Error> {
    let (db, namespace) = (&control.db, &caller.namespace);
    let versions = db.versions(namespace, name, version).await?;
    let Some(name) = name.filter(|_| versions.is_empty()) else { return Ok(versions) };
    match db.resolve(namespace, name, version.unwrap_or(LATEST)).await? {
        Some((service, _)) => db.versions(namespace, Some(&service), version).await,
        None => Ok(versions),
    }
}

/// The row speaks of the newest attempt, as long as that may still come to something. After a failed update the one
/// before still serves: then the row says so, and the metadata says what failed.
fn row(version: &Version) -> ServiceStatus {
    let latest = &version.latest;
    let shown = match &version.active {
        Some(active) if latest.deployment.state == DeploymentState::Failed => active,
        _ => latest,
    };
    let mut metadata = BTreeMap::from(["owner", "group"].map(|key| (key.to_owned(), "n/a".to_owned())));
    if let Some(error) = &latest.deployment.error {
        metadata.insert("error".to_owned(), error.detail.lines().next().unwrap_or_default().to_owned());
    }
    if shown.starts > 1 {
        metadata.insert("retries".to_owned(), (shown.starts - 1).to_string());
    }
    ServiceStatus {
        name: version.service.clone(),
        version: version.version.clone(),
        source: shown.deployment.source_given.clone(),
        status: shown.deployment.state.status().to_owned(),
        build: shown.deployment.commit.clone().unwrap_or_default(),
        updated_ms: if shown.started_ms > 0 { shown.started_ms } else { shown.deployment.created_ms },
        metadata,
        deployment: shown.deployment.id.clone(),
    }
}
