//! `GET /v1/broker/dead`, `POST /v1/broker/redrive`, `POST /v1/broker/discard`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::broker::{Dead, Filter, Moved};
use serde::Deserialize;

use crate::Control;
use crate::authz::{Authorized, Deploy, Read};
use crate::error::Error;
use crate::extract::{self, Query};

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct Which {
    topic: Option<String>,
    queue: Option<String>,
    /// At most so many; 0, or absent: 1 000.
    #[serde(default)]
    limit: usize,
}

pub(crate) async fn list(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Query(Which { topic, queue, limit }): Query<Which>,
) -> Result<Json<Vec<Dead>>, Error> {
    let filter = Filter { ids: Vec::new(), topic, queue };
    Ok(Json(control.node.broker_dead(&caller.namespace, filter, limit).await?))
}

pub(crate) async fn redrive(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(filter): extract::Json<Filter>,
) -> Result<Json<Moved>, Error> {
    Ok(Json(control.node.broker_redrive(&caller.namespace, filter).await?))
}

pub(crate) async fn discard(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(filter): extract::Json<Filter>,
) -> Result<Json<Moved>, Error> {
    Ok(Json(control.node.broker_discard(&caller.namespace, filter).await?))
}
