//! `PATCH /v1/me`: another name.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::Error as Api;
use micro_api::person::{ChangeProfile, Me};
use micro_db::signup::is_name;

use super::get::me;
use crate::Control;
use crate::api::signup::create::NAME_RULE;
use crate::authz::{Authorized, Signed};
use crate::error::Error;
use crate::extract;
use crate::people::ID;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    extract::Json(change): extract::Json<ChangeProfile>,
) -> Result<Json<Me>, Error> {
    if !is_name(&change.name) {
        return Err(Api::bad_request(ID, NAME_RULE).into());
    }
    let person = control.person_row(caller.identity.person.as_deref()).await?;
    if person.is_operator() && person.name == micro_db::bootstrap::OPERATOR {
        let detail = "the name `operator` is how this machine's owner is found: it stays";
        return Err(Api::forbidden(ID, detail).into());
    }
    control.db.rename(&person.id, &change.name, &caller.actor()).await.map_err(Error::db(ID))?;
    control.follow().await;
    me(&control, &caller.identity).await.map(Json)
}
