//! `GET /v1/operator/plans`: the plans as the operator configured them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::operator::Plan;
use micro_db::now_ms;

use crate::Control;
use crate::authz::{Authorized, Operate};

pub(crate) async fn handler(State(control): State<Arc<Control>>, _: Authorized<Operate>) -> Json<Vec<Plan>> {
    let now = now_ms();
    Json(control.config.plans.iter().map(|plan| plan.to_api(now)).collect())
}
