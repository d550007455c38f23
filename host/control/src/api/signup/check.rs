//! `POST /v1/signup/check`: whether a code holds, before somebody chooses a password, and what waits for its address.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::person::{CodeCheck, CodeChecked};
use micro_db::people::key_of;
use micro_db::{Code, Purpose, Refusal};

use super::invitation_digest;
use crate::Control;
use crate::authz::{Authorized, Public};
use crate::error::Error;
use crate::extract;
use crate::mail::parse_address;
use crate::people::{GUESSES, ID};

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    visitor: Authorized<Public>,
    extract::Json(check): extract::Json<CodeCheck>,
) -> Result<Json<CodeChecked>, Error> {
    let email = parse_address(ID, &check.email)?;
    control.count(GUESSES, &visitor.address.to_string()).await?;
    let waiting = if check.invitation.is_empty() {
        let code = Code::new(Purpose::SignUp, key_of(email.as_ref()), &check.code);
        control.db.check_code(&code).await.map_err(Error::db(ID))?;
        control.db.invitation_for(email.as_ref()).await.map_err(Error::db(ID))?
    } else {
        let digest = invitation_digest(&check.invitation)?;
        let waiting = control.db.invitation(&digest).await.map_err(Error::db(ID))?;
        let waiting = waiting.ok_or_else(|| Error::db(ID)(Refusal::NoInvitation.into()))?;
        if waiting.email != key_of(email.as_ref()) {
            return Err(Error::db(ID)(Refusal::InvitationForOther.into()));
        }
        Some(waiting)
    };
    Ok(Json(CodeChecked { invited_to: waiting.map(|waiting| waiting.namespace).unwrap_or_default() }))
}
