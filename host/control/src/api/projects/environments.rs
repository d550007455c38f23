//! `POST /v1/projects/{id}/environments`: another environment, by an owner of one of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::team::{Environment, NewEnvironment};
use micro_api::{Error as Api, Namespace};

use super::{check_name, check_text, founding};
use crate::Control;
use crate::authz::{Authorized, Signed};
use crate::error::Error;
use crate::extract::{self, Path};
use crate::people::ID;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    Path(project): Path<String>,
    extract::Json(new): extract::Json<NewEnvironment>,
) -> Result<(StatusCode, Json<Environment>), Error> {
    check_name("an environment", &new.name, 1)?;
    check_text("description", &new.description)?;
    let wish = match new.namespace.as_str() {
        "" => None,
        named => Some(named.parse::<Namespace>().map_err(|error| Api::bad_request(ID, error.to_string()))?),
    };
    let (person, actor) = (caller.identity.person.as_deref().unwrap_or_default(), caller.actor());
    let founding = founding(&control, person, &actor);
    let made = control
        .db
        .create_environment(&founding, &project, &new.name, &new.description, wish.as_ref())
        .await
        .map_err(Error::db(ID))?;
    control.follow().await;
    Ok((StatusCode::CREATED, Json(made)))
}
