//! `POST /v1/services`: bring a source up that does not run.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::deployment::{Deployment, RunRequest};
use micro_db::Action;

use super::{ID, request};
use crate::Control;
use crate::authz::{Authorized, DeployService};
use crate::error::Error;
use crate::extract;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<DeployService>,
    extract::Json(wish): extract::Json<RunRequest>,
) -> Result<(StatusCode, Json<Deployment>), Error> {
    request::check(&wish)?;
    caller.check_service(&wish.name)?;
    let quotas = control.plan_of(&caller.namespace).await.map_err(Error::db(ID))?.quotas();
    let submit = control.db.submit_within(&caller.namespace, Action::Run, &wish, &quotas);
    let deployment = submit.await.map_err(Error::db(ID))?;
    let Deployment { service, version, source_given, .. } = &deployment;
    tracing::info!("Creating service {service} version {version} source {source_given}");
    tracing::info!("Processing create event {service}:{version}");
    control.poke_builder();
    Ok((StatusCode::ACCEPTED, Json(deployment)))
}
