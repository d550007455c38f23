//! `PUT /v1/services`: build a source and put it in the place of what runs, which serves until then.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::deployment::{Deployment, RunRequest};
use micro_db::Action;

use super::{ID, request};
use crate::Control;
use crate::error::Error;
use crate::extract::{self, Caller};

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Caller,
    extract::Json(wish): extract::Json<RunRequest>,
) -> Result<(StatusCode, Json<Deployment>), Error> {
    request::check(&wish)?;
    let deployment =
        control.db.submit(&caller.namespace, Action::Update, &wish).await.map_err(Error::db(ID))?;
    let Deployment { namespace, service, version, source_given, .. } = &deployment;
    tracing::info!("Updating service {service} version {version} source {source_given}");
    tracing::info!("Processing update event {service}:{version} in namespace {namespace}");
    control.poke_builder();
    Ok((StatusCode::ACCEPTED, Json(deployment)))
}
