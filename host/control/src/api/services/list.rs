//! `GET /v1/services`: the rows of `micro status`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::Error as Api;
use micro_api::deployment::{DeploymentState, SERVICES_PAGE_MAX, ServiceStatus};
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
    /// Of all services: `NAME:VERSION` of the last row of the page before; absent: the first page.
    #[serde(default)]
    after: String,
    /// Of all services: rows of a page, 1 to 1 000; 1 000 when absent. A page with fewer rows is the last one.
    limit: Option<usize>,
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
    let visible = |version: &Version| {
        version.service.parse().is_ok_and(|service| caller.check_service(&service).is_ok())
    };
    if name.is_none() && version.is_none() {
        return page(&control, &caller, &filter.after, filter.limit.unwrap_or(SERVICES_PAGE_MAX), visible)
            .await;
    }
    let versions = find(&control, &caller, name.as_deref(), version).await.map_err(Error::db(ID))?;
    Ok(Json(versions.iter().filter(|version| visible(version)).map(row).collect()))
}

/// A page of all that the caller may see: only the last one has fewer rows than were asked for.
async fn page(
    control: &Control,
    caller: &Authorized<ReadService>,
    after: &str,
    limit: usize,
    visible: impl Fn(&Version) -> bool,
) -> Result<Json<Vec<ServiceStatus>>, Error> {
    if !(1..=SERVICES_PAGE_MAX).contains(&limit) {
        return Err(Api::bad_request(ID, format!("`limit` is 1 to {SERVICES_PAGE_MAX}")).into());
    }
    let (service, version) = after.split_once(':').unwrap_or((after, ""));
    let mut after = (service.to_owned(), version.to_owned());
    let mut rows = Vec::new();
    loop {
        let place = (after.0.as_str(), after.1.as_str());
        let count = i64::try_from(limit).unwrap_or(i64::MAX);
        let versions =
            control.db.versions_page(&caller.namespace, place, count).await.map_err(Error::db(ID))?;
        rows.extend(versions.iter().filter(|version| visible(version)).map(row));
        match versions.last() {
            Some(last) if versions.len() == limit && rows.len() < limit => {
                after = (last.service.clone(), last.version.clone());
            }
            _ => break,
        }
    }
    rows.truncate(limit);
    Ok(Json(rows))
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
