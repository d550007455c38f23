//! `POST /v1/me/password`: the old password proves it; other sessions end.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::person::ChangePassword;

use crate::Control;
use crate::authz::{Authorized, Signed};
use crate::error::Error;
use crate::extract;
use crate::people::ID;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    extract::Json(change): extract::Json<ChangePassword>,
) -> Result<StatusCode, Error> {
    let person = control.person_row(caller.identity.person.as_deref()).await?;
    control.confirm_password(&person, &change.old_password).await?;
    let hash = control.hash(&change.new_password).await?;
    let (own, actor) = (&caller.identity.session, caller.actor());
    control.db.set_password(&person.id, &hash, own, &actor).await.map_err(Error::db(ID))?;
    control.follow().await;
    control.tell_person(&person, |texts, to| texts.password_changed(to, false));
    Ok(StatusCode::NO_CONTENT)
}
