//! `GET /v1/sessions`: where a person is signed in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::person::Session;

use crate::Control;
use crate::authz::{AUTH, Authorized, Signed};
use crate::error::Error;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
) -> Result<Json<Vec<Session>>, Error> {
    let person = caller.identity.person.as_deref().unwrap_or_default();
    let sessions = control.db.sessions(person).await.map_err(Error::db(AUTH))?;
    let shown = sessions.into_iter().map(|session| Session {
        current: session.id == caller.identity.session,
        id: session.id,
        kind: session.kind,
        agent: session.agent,
        address: session.address,
        created_ms: session.created_ms,
        used_ms: session.used_ms,
        expires_ms: session.expires_ms,
    });
    Ok(Json(shown.collect()))
}
