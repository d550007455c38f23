//! `DELETE /v1/blobs/object`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::blob::At;

use crate::Control;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::extract::Query;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    Query(at): Query<At>,
) -> Result<StatusCode, Error> {
    control.node.blob_delete(&caller.namespace, &at).await?;
    Ok(StatusCode::NO_CONTENT)
}
