//! `GET` and `DELETE /v1/broker/groups`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::broker::Group;
use serde::Deserialize;

use crate::Control;
use crate::authz::{Authorized, Deploy, Read};
use crate::error::Error;
use crate::extract::Query;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct Which {
    topic: String,
    queue: String,
}

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
) -> Result<Json<Vec<Group>>, Error> {
    Ok(Json(control.node.broker_groups(&caller.namespace).await?))
}

pub(crate) async fn forget(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    Query(Which { topic, queue }): Query<Which>,
) -> Result<StatusCode, Error> {
    control.node.broker_forget(&caller.namespace, &topic, &queue).await?;
    Ok(StatusCode::NO_CONTENT)
}
