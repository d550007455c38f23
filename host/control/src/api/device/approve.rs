//! `POST /v1/device/approve`: a person lets a terminal in, for one namespace of theirs.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::person::DeviceApprove;
use micro_api::{Error as Api, Namespace};
use micro_auth::key;
use micro_db::Refusal;

use super::ID;
use crate::Control;
use crate::authz::{Authorized, Signed};
use crate::error::Error;
use crate::extract;
use crate::people::DEVICE_GUESSES;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    extract::Json(approve): extract::Json<DeviceApprove>,
) -> Result<StatusCode, Error> {
    let person = caller.identity.person.as_deref().unwrap_or_default();
    control.count(DEVICE_GUESSES, person).await?;
    let namespace = match approve.namespace.as_str() {
        "" => caller.namespace.clone(),
        named => named.parse::<Namespace>().map_err(|error| Api::bad_request(ID, error.to_string()))?,
    };
    let role = control.db.role(&namespace, person).await.map_err(Error::db(ID))?;
    if role.is_none() {
        return Err(Api::not_found(ID, format!("namespace {namespace} not found")).into());
    }
    let no_device = || Error::db(ID)(Refusal::NoDevice.into());
    let user_code = key::parse_user_code(&approve.user_code).ok_or_else(no_device)?;
    let approved = control.db.approve_device(&user_code, person, &namespace, &caller.actor()).await;
    approved.map_err(Error::db(ID))?;
    control.db.forgive(DEVICE_GUESSES, person).await.map_err(Error::db(ID))?;
    Ok(StatusCode::NO_CONTENT)
}
