//! `POST /v1/sessions`: sign in by e-mail address or name, and password.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::person::{Login, SessionOpened};

use crate::Control;
use crate::authz::{AUTH, Authorized, Public};
use crate::error::Error;
use crate::extract;
use crate::login::{From, Holder};

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    visitor: Authorized<Public>,
    extract::Json(login): extract::Json<Login>,
) -> Result<(StatusCode, Json<SessionOpened>), Error> {
    let from = From { address: visitor.address, agent: &visitor.agent };
    let Holder::Person(person) = control.prove(&login.id, &login.secret, &login.totp, None, &from).await?
    else {
        return Err(micro_api::Error::unauthorized(AUTH, "the id or the secret is wrong").into());
    };
    Ok((StatusCode::CREATED, Json(control.open_session(&person, &from).await?)))
}
