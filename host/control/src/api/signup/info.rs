//! `GET /v1/signup`: who may sign up, and where mails go.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::person::SignupInfo;

use crate::Control;
use crate::authz::{Authorized, Public};

pub(crate) async fn handler(State(control): State<Arc<Control>>, _: Authorized<Public>) -> Json<SignupInfo> {
    let people = &control.config.people;
    let oidc = people.oidc.as_ref().map(|provider| provider.name().to_owned());
    Json(SignupInfo { mode: control.signup_mode(), mail_file: people.mail.file(), oidc })
}
