//! `GET /v1/jobs`: the schedules of what runs.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::jobs::Schedule;
use serde::Deserialize;

use super::ID;
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::Query;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct Filter {
    /// Only of this service.
    service: Option<String>,
}

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Query(Filter { service }): Query<Filter>,
) -> Result<Json<Vec<Schedule>>, Error> {
    let service = service.as_deref().map(|name| crate::api::service_name(ID, name)).transpose()?;
    let last = control.db.last_runs(&caller.namespace).await.map_err(Error::db(ID))?;
    let mut last: HashMap<_, _> = last
        .into_iter()
        .map(|run| ((run.service.clone(), run.version.clone(), run.schedule.clone()), run))
        .collect();
    let now_ms = control.config.clock.now_ms();
    let mut all = Vec::new();
    for one in control.node.schedules().await {
        if one.namespace != caller.namespace || service.as_ref().is_some_and(|only| *only != one.service) {
            continue;
        }
        let (schedule, service) = (&one.schedule, one.service.to_string());
        let next_ms = schedule.times().ok().and_then(|times| times.next_after(now_ms));
        let key = (service.clone(), one.version.clone(), schedule.name().to_owned());
        all.push(Schedule {
            service,
            version: one.version.clone(),
            name: schedule.name().to_owned(),
            cron: schedule.cron.clone(),
            zone: schedule.zone().to_owned(),
            endpoint: schedule.endpoint.clone(),
            jitter_ms: i64::try_from(schedule.jitter().as_millis()).unwrap_or_default(),
            overlap: schedule.overlap,
            missed: schedule.missed,
            retry: schedule.retry,
            next_ms,
            last: last.remove(&key),
        });
    }
    all.sort_by(|a, b| (&a.service, &a.version, &a.name).cmp(&(&b.service, &b.version, &b.name)));
    Ok(Json(all))
}
