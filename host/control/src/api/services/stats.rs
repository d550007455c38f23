//! `GET /v1/services/{name}/stats`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::stats::NodeStats;

use crate::Control;
use crate::api::registry::not_found;
use crate::api::service_name;
use crate::authz::{Authorized, ReadService};
use crate::error::Error;
use crate::extract::Path;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<ReadService>,
    Path(name): Path<String>,
) -> Result<Json<Vec<NodeStats>>, Error> {
    let name = service_name("debug", &name)?;
    caller.check_service(&name)?;
    let nodes = control.node.stats(&caller.namespace, &name).await;
    if nodes.is_empty() {
        return Err(not_found(&control, &caller.namespace, "debug", &name).await);
    }
    Ok(Json(nodes))
}
