//! `POST /v1/config/secret`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use micro_api::config::{AtPath, Secret};

use super::{ID, missing, parse, sealed};
use crate::Control;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::extract;
use crate::vault::Vault;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(AtPath { path }): extract::Json<AtPath>,
) -> Result<Response, Error> {
    let path = parse(&path)?;
    let held = control.db.config(&caller.namespace).await.map_err(Error::db(ID))?;
    let secret = held.secrets.iter().find(|secret| secret.name == path.as_str()).ok_or_else(missing)?;
    let vault = Vault::open(control.credentials.sealer(), &caller.namespace, &held.sealed_key);
    let text = vault.and_then(|vault| vault.text(secret)).map_err(|error| sealed(&error))?;
    // Nobody is shown what is not noted.
    control.db.note_shown(&caller.namespace, &path, &caller.actor()).await.map_err(Error::db(ID))?;
    let answer = Json(Secret { value: text.expose().to_owned() });
    Ok(([(header::CACHE_CONTROL, "no-store")], answer).into_response())
}
