//! `DELETE /v1/members/{id}`: an owner takes somebody out; oneself may always leave, unless nobody else owns it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::Error as Api;
use micro_api::auth::Role;
use micro_auth::Credential;

use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::Path;
use crate::people::ID;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Path(id): Path<String>,
) -> Result<StatusCode, Error> {
    let identity = &caller.identity;
    // A key acts for its maker, who does not leave by it.
    let oneself = identity.person.as_ref() == Some(&id) && identity.credential != Credential::Key;
    if !oneself && identity.role() != Some(Role::Owner) {
        let detail = format!("only an owner of {} takes others out of it", caller.namespace);
        return Err(Api::forbidden(ID, detail).into());
    }
    control.db.remove_member(&caller.namespace, &id, &caller.actor()).await.map_err(Error::db(ID))?;
    control.follow().await;
    Ok(StatusCode::NO_CONTENT)
}
