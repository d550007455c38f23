//! `GET /v1/limits`: where a namespace stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::usage::Limits;
use micro_db::calendar::month_of;

use super::usage::ID;
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
) -> Result<Json<Limits>, Error> {
    let (db, namespace, now_ms) = (&control.db, &caller.namespace, micro_db::now_ms());
    let plan = control.plan_of(namespace).await.map_err(Error::db(ID))?;
    let used = db.used(namespace, month_of(now_ms)).await.map_err(Error::db(ID))?;
    let load = control.node.load(namespace).await;
    let limits = plan.limits(&used, load, now_ms);
    Ok(Json(Limits { namespace: namespace.to_string(), plan: plan.name.clone(), limits }))
}
