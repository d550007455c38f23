//! `DELETE /v1/keys/{id}`: it counts nowhere any more within a second, open streams included.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::Error as Api;
use micro_db::audit::Entry;

use super::{ID, visible};
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::Path;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Path(id): Path<String>,
) -> Result<StatusCode, Error> {
    let owner = visible(&caller.identity);
    if !control.db.revoke_key(&caller.namespace, &id, &owner).await.map_err(Error::db(ID))? {
        return Err(Api::not_found(ID, "API key not found").into());
    }
    control.follow_access().await.map_err(Error::db(ID))?;
    let (actor, namespace) = (caller.actor(), caller.namespace.as_str());
    let entry = Entry { actor: &actor, namespace, action: "key.revoke", subject: &id, detail: "" };
    control.db.audit(entry).await.map_err(Error::db(ID))?;
    Ok(StatusCode::NO_CONTENT)
}
