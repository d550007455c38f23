//! `POST /v1/reset`: sets a new password by a mailed code, and signs out everywhere. Keys stay.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::person::ResetPassword;
use micro_db::people::key_of;
use micro_db::{Code, Purpose};

use crate::Control;
use crate::authz::{Authorized, Public};
use crate::error::Error;
use crate::extract;
use crate::mail::parse_address;
use crate::people::{GUESSES, ID};

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    visitor: Authorized<Public>,
    extract::Json(reset): extract::Json<ResetPassword>,
) -> Result<StatusCode, Error> {
    let email = parse_address(ID, &reset.email)?;
    let address = visitor.address.to_string();
    control.count(GUESSES, &address).await?;
    let code = Code::new(Purpose::Reset, key_of(email.as_ref()), &reset.code);
    // A wrong code costs no hash.
    control.db.check_code(&code).await.map_err(Error::db(ID))?;
    let hash = control.hash(&reset.password).await?;
    let person = control.db.reset_password(&code, &hash, &address).await.map_err(Error::db(ID))?;
    control.follow().await;
    control.tell_person(&person, |texts, to| texts.password_changed(to, true));
    Ok(StatusCode::NO_CONTENT)
}
