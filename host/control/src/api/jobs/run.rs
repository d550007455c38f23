//! `POST /v1/jobs/run`: run a schedule now, without waiting for its end.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::jobs::{Run, Start};

use super::ID;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::near::with_hint;
use crate::{Control, Scheduled, extract, task};

const LATEST: &str = "latest";

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(start): extract::Json<Start>,
) -> Result<(StatusCode, Json<Run>), Error> {
    let service = crate::api::service_name(ID, &start.service)?;
    let all = control.node.schedules().await;
    let of_service =
        all.into_iter().filter(|one| one.namespace == caller.namespace && one.service == service);
    let spec = choose(of_service.collect(), &start)?;
    let held = task::schedule::by_hand(&control, spec).await?;
    let run = control.db.run(&caller.namespace, &held.id).await.map_err(Error::db(ID))?;
    let run = run.ok_or_else(|| micro_api::Error::internal(ID, "the run is gone"))?;
    tracing::info!("Running the schedule {} of {} by hand", run.schedule, run.service);
    Ok((StatusCode::ACCEPTED, Json(run)))
}

/// The one schedule that is meant.
fn choose(mut all: Vec<Arc<Scheduled>>, start: &Start) -> Result<Arc<Scheduled>, micro_api::Error> {
    let service = &start.service;
    if all.is_empty() {
        return Err(micro_api::Error::not_found(ID, format!("{service} has no schedules, or does not run")));
    }
    let known: Vec<String> = all.iter().map(|one| one.schedule.name().to_owned()).collect();
    if let Some(name) = &start.schedule {
        all.retain(|one| one.schedule.name() == name);
        if all.is_empty() {
            let text = format!("{service} has no schedule `{name}`");
            return Err(micro_api::Error::not_found(ID, with_hint(&text, name, &known)));
        }
    }
    if let Some(version) = &start.version {
        all.retain(|one| one.version == *version);
    } else if all.iter().any(|one| one.version == LATEST) {
        all.retain(|one| one.version == LATEST);
    }
    match all.as_slice() {
        [one] => Ok(Arc::clone(one)),
        [] => Err(micro_api::Error::not_found(ID, "no such version has that schedule")),
        _ => {
            let named = |one: &Arc<Scheduled>| format!("{} of {}", one.schedule.name(), one.version);
            let names: Vec<String> = all.iter().take(20).map(named).collect();
            let text = format!("which one? {service} has {}", names.join(", "));
            Err(micro_api::Error::bad_request(ID, text))
        }
    }
}
