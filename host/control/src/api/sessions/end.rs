//! `DELETE /v1/sessions/{id}`: sign out, here (`current`) or elsewhere. It acts on all nodes within a second.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::Error as Api;
use micro_auth::Credential;
use micro_db::audit::Entry;

use crate::Control;
use crate::authz::{AUTH, Authorized, Known};
use crate::error::Error;
use crate::extract::Path;

/// The session that asks.
const CURRENT: &str = "current";

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Known>,
    Path(id): Path<String>,
) -> Result<StatusCode, Error> {
    let identity = &caller.identity;
    let own = matches!(identity.credential, Credential::Session | Credential::Access | Credential::Account);
    if id == CURRENT && own {
        control.db.end_family(&identity.session).await.map_err(Error::db(AUTH))?;
    } else {
        let not_found = || Error::from(Api::not_found(AUTH, "session not found"));
        let person = identity.person.as_deref().filter(|_| identity.credential != Credential::Key);
        let person = person.ok_or_else(not_found)?;
        if !control.db.end_session(person, &id).await.map_err(Error::db(AUTH))? {
            return Err(not_found());
        }
        let actor = caller.actor();
        let entry = Entry { actor: &actor, namespace: "", action: "session.end", subject: &id, detail: "" };
        control.db.audit(entry).await.map_err(Error::db(AUTH))?;
    }
    control.follow_access().await.map_err(Error::db(AUTH))?;
    Ok(StatusCode::NO_CONTENT)
}
