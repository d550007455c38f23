//! `GET /v1/registry/services`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::Control;
use crate::authz::{Authorized, Read};

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
) -> Json<Vec<String>> {
    let mut names = control.node.registry_list(&caller.namespace).await;
    names.sort();
    names.dedup();
    Json(names)
}
