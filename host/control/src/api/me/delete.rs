//! `DELETE /v1/me`: the end of one's account, confirmed by the password. It can be restored by the operator for 14 days.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::Error as Api;
use micro_api::person::DeleteMe;
use micro_db::deletion::GRACE_MS;

use crate::Control;
use crate::authz::{Authorized, Signed};
use crate::error::Error;
use crate::extract;
use crate::people::ID;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    extract::Json(confirm): extract::Json<DeleteMe>,
) -> Result<StatusCode, Error> {
    let person = control.person_row(caller.identity.person.as_deref()).await?;
    control.confirm_password(&person, &confirm.password).await?;
    if person.is_operator() {
        return Err(
            Api::conflict(ID, "the operator's account cannot be deleted: the platform needs it").into()
        );
    }
    let ended = control.db.delete_person(&person.id, &caller.actor()).await.map_err(Error::db(ID))?;
    control.follow().await;
    control.stop_all(&ended).await;
    tracing::info!(person = person.id, "Somebody deleted their account");
    control.tell_person(&person, |texts, to| texts.deleted(to, GRACE_MS / DAY_MS));
    Ok(StatusCode::NO_CONTENT)
}
