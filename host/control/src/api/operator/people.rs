//! `/v1/operator/people`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::Error as Api;
use micro_api::operator::{Change, Person};
use micro_db::Refusal;

use super::{ID, check_reason};
use crate::Control;
use crate::api::audit::Page;
use crate::authz::{Authorized, Operate};
use crate::error::Error;
use crate::extract::{self, Path, Query};

/// `GET`: newest first, or those whose address or name begins with `query`.
pub(crate) async fn list(
    State(control): State<Arc<Control>>,
    _: Authorized<Operate>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Person>>, Error> {
    let people = control.db.people(&page.query, &page.after, page.limit()?).await;
    people.map(Json).map_err(Error::db(ID))
}

/// `PUT`: blocks a person, or lets one go on who was blocked or is being deleted.
pub(crate) async fn change(
    State(control): State<Arc<Control>>,
    caller: Authorized<Operate>,
    Path(id): Path<String>,
    extract::Json(change): extract::Json<Change>,
) -> Result<Json<Person>, Error> {
    check_reason(&change.reason)?;
    if change.plan.is_some() {
        return Err(Api::bad_request(ID, "a plan is a namespace's: a person has none").into());
    }
    let blocked = change.blocked.ok_or_else(|| Api::bad_request(ID, "say `blocked`: true or false"))?;
    if blocked && caller.identity.person.as_ref() == Some(&id) {
        return Err(Api::conflict(ID, "you cannot block yourself").into());
    }
    control
        .db
        .set_person_blocked(&id, blocked, &change.reason, &caller.actor())
        .await
        .map_err(Error::db(ID))?;
    control.follow().await;
    let person = control.db.listed_person(&id).await.map_err(Error::db(ID))?;
    person.map(Json).ok_or_else(|| Error::db(ID)(Refusal::NoPerson.into()))
}
