//! `/v1/operator/namespaces`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::operator::{Change, NamespaceStatus};
use micro_api::{Error as Api, Namespace};
use micro_db::Refusal;

use super::{ID, check_reason};
use crate::Control;
use crate::api::audit::Page;
use crate::authz::{Authorized, Operate};
use crate::error::Error;
use crate::extract::{self, Path, Query};

/// `GET`: costliest of the running month first, or by name those that begin with `query`.
pub(crate) async fn list(
    State(control): State<Arc<Control>>,
    _: Authorized<Operate>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<NamespaceStatus>>, Error> {
    let namespaces = control.db.namespaces(&page.query, &page.after, page.limit()?).await;
    namespaces.map(Json).map_err(Error::db(ID))
}

/// `PUT`: blocks a namespace or lets it go on, and sets its plan.
pub(crate) async fn change(
    State(control): State<Arc<Control>>,
    caller: Authorized<Operate>,
    Path(namespace): Path<String>,
    extract::Json(change): extract::Json<Change>,
) -> Result<Json<NamespaceStatus>, Error> {
    let not_found = || Error::db(ID)(Refusal::NoNamespace.into());
    let namespace: Namespace = namespace.parse().map_err(|_| not_found())?;
    check_reason(&change.reason)?;
    if let Some(plan) = &change.plan
        && control.config.plans.of(plan).is_none()
    {
        let known: Vec<&str> = control.config.plans.iter().map(|plan| plan.name.as_str()).collect();
        let shown: String = plan.chars().take(40).collect();
        let detail = format!("there is no plan `{shown}`: choose one of {}", known.join(", "));
        return Err(Api::bad_request(ID, detail).into());
    }
    if change.blocked.is_none() && change.plan.is_none() {
        return Err(Api::bad_request(ID, "say what to change: `blocked` or `plan`").into());
    }
    let (actor, reason) = (caller.actor(), change.reason.as_str());
    if let Some(plan) = &change.plan {
        let set = control.db.set_namespace_plan(&namespace, plan, reason, &actor).await;
        set.map_err(Error::db(ID))?;
    }
    if let Some(blocked) = change.blocked {
        let set = control.db.set_namespace_blocked(&namespace, blocked, reason, &actor).await;
        set.map_err(Error::db(ID))?;
    }
    control.follow().await;
    control.poke();
    let status = control.db.namespace_status(&namespace).await.map_err(Error::db(ID))?;
    status.map(Json).ok_or_else(not_found)
}
