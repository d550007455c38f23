//! `GET /v1/blobs`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::blob;

use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::Query;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Query(query): Query<blob::Query>,
) -> Result<Json<Vec<blob::Info>>, Error> {
    Ok(Json(control.node.blob_list(&caller.namespace, query).await?))
}
