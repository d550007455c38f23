//! `DELETE /v1/projects/{id}`: a project with all its environments, by who owns each of them. What runs is stopped.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::Control;
use crate::authz::{Authorized, Signed};
use crate::error::Error;
use crate::extract::Path;
use crate::people::ID;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    Path(project): Path<String>,
) -> Result<StatusCode, Error> {
    let person = caller.identity.person.as_deref().unwrap_or_default();
    let ended = control.db.delete_project(person, &project, &caller.actor()).await.map_err(Error::db(ID))?;
    control.follow().await;
    control.stop_all(&ended).await;
    Ok(StatusCode::NO_CONTENT)
}
