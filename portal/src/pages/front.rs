//! The entrance, the icon, the health check.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};

use super::{Answer, home, see};
use crate::error::Fault;
use crate::portal::Portal;
use crate::session::{Person, Visit};

/// Home for who is signed in, the login page for who is not.
pub(crate) async fn start(person: Result<Person, Fault>) -> Answer {
    match person {
        Ok(person) => Ok(see(&home(person.namespace()))),
        Err(Fault::SignedOut) => Ok(see("/login")),
        Err(fault) => Err(fault),
    }
}

/// Micro's old address of the list.
pub(crate) async fn services(person: Person) -> Answer {
    Ok(see(&person.at("services")))
}

/// 200 while this process answers. It says nothing of the control API, which has a check of its own.
pub(crate) async fn healthz() -> &'static str {
    "ok"
}

pub(crate) async fn asset(State(portal): State<Arc<Portal>>, Path(file): Path<String>) -> Response {
    portal.assets.serve(&file)
}

pub(crate) async fn icon(visit: Visit) -> Response {
    match visit.portal.assets.path("icon.svg") {
        Some(path) => see(path),
        None => axum::http::StatusCode::NOT_FOUND.into_response(),
    }
}
