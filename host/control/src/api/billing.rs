//! `GET /v1/billing`: what was charged, and what the running month costs so far.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::usage::Billing;
use micro_db::calendar::month_of;

use super::usage::ID;
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::plan::billing;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
) -> Result<Json<Billing>, Error> {
    let (namespace, now_ms) = (&caller.namespace, micro_db::now_ms());
    let plan = control.plan_of(namespace).await.map_err(Error::db(ID))?;
    let entries = control.db.ledger(namespace).await.map_err(Error::db(ID))?;
    let lines = billing::lines(&control, namespace, plan, month_of(now_ms)).await.map_err(Error::db(ID))?;
    let currency = control.config.plans.currency();
    Ok(Json(Billing {
        provider: control.config.billing.name().to_owned(),
        plan: plan.name.clone(),
        entries,
        preview: lines.iter().map(|line| line.to_api(now_ms, currency)).collect(),
    }))
}
