//! `GET /v1/registry/services/{name}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::registry::Service;

use super::not_found;
use crate::Control;
use crate::api::service_name;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::Path;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Path(name): Path<String>,
) -> Result<Json<Vec<Service>>, Error> {
    let name = service_name("registry", &name)?;
    let records = control.node.registry_get(&caller.namespace, &name).await;
    if records.is_empty() {
        return Err(not_found(&control, &caller.namespace, "registry", &name).await);
    }
    Ok(Json(records))
}
