//! `GET /v1/jwks`: the public keys of access tokens (RFC 7517), for who checks them without asking.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use crate::Control;
use crate::authz::{Authorized, Public};

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    _visitor: Authorized<Public>,
) -> Json<Value> {
    Json(control.credentials.keyring().jwks())
}
