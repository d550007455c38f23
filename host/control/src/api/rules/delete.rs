//! `DELETE /v1/auth/rules/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_db::audit::Entry;

use super::ID;
use crate::Control;
use crate::authz::{Authorized, Manage};
use crate::error::Error;
use crate::extract::Path;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Manage>,
    Path(id): Path<String>,
) -> Result<StatusCode, Error> {
    control.db.delete_rule(&caller.namespace, &id).await.map_err(Error::db(ID))?;
    control.follow_access().await.map_err(Error::db(ID))?;
    let (actor, namespace) = (caller.actor(), caller.namespace.as_str());
    let entry = Entry { actor: &actor, namespace, action: "rule.delete", subject: &id, detail: "" };
    control.db.audit(entry).await.map_err(Error::db(ID))?;
    Ok(StatusCode::NO_CONTENT)
}
