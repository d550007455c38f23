//! `GET /v1/projects`: what a person is a member of.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::team::Project;

use crate::Control;
use crate::authz::{Authorized, Signed};
use crate::error::Error;
use crate::people::ID;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
) -> Result<Json<Vec<Project>>, Error> {
    let person = caller.identity.person.as_deref().unwrap_or_default();
    control.db.projects(person).await.map(Json).map_err(Error::db(ID))
}
