//! `POST /v1/projects`: a project with its first environment.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::team::{NewProject, Project};

use super::{check_name, check_text, founding};
use crate::Control;
use crate::authz::{Authorized, Signed};
use crate::error::Error;
use crate::extract;
use crate::people::ID;

/// Characters of a project's name at least. Source: PLAT-11 of Micro's portal.
const NAME_CHARS_MIN: usize = 3;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    extract::Json(new): extract::Json<NewProject>,
) -> Result<(StatusCode, Json<Project>), Error> {
    check_name("a project", &new.name, NAME_CHARS_MIN)?;
    check_text("description", &new.description)?;
    check_text("repository", &new.repository)?;
    let (person, actor) = (caller.identity.person.as_deref().unwrap_or_default(), caller.actor());
    let founding = founding(&control, person, &actor);
    let made = control.db.create_project(&founding, &new.name, &new.description, &new.repository).await;
    let made = made.map_err(Error::db(ID))?;
    control.follow().await;
    Ok((StatusCode::CREATED, Json(made)))
}
