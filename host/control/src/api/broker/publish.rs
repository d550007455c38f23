//! `POST /v1/broker/publish`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::broker::{Publish, is_topic};

use crate::Control;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::extract;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(publish): extract::Json<Publish>,
) -> Result<StatusCode, Error> {
    if !is_topic(&publish.topic) {
        let text = "a topic has 1 to 256 bytes: letters, digits, `_` and `-`, joined by dots";
        return Err(micro_api::Error::bad_request("broker", text).into());
    }
    control.node.broker_publish(&caller.namespace, publish).await?;
    Ok(StatusCode::NO_CONTENT)
}
