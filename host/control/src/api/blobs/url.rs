//! `POST /v1/blobs/url`: where the gateway answers a blob. Whoever signs a URL gives away more than what they may see
//! themselves while they are members, so it is for those who could put the blob elsewhere.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::blob::{BlobUrl, NewUrl};

use crate::Control;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::extract;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(new): extract::Json<NewUrl>,
) -> Result<Json<BlobUrl>, Error> {
    Ok(Json(control.node.blob_url(&caller.namespace, new).await?))
}
