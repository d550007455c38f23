//! `POST /v1/reset/code`: mails a code, if the address has an account. The answer does not tell.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::Error as Api;
use micro_api::person::CodeRequest;
use micro_db::people::key_of;
use micro_db::{Code, Purpose};

use crate::Control;
use crate::api::signup::mailed_code;
use crate::authz::{Authorized, Public};
use crate::error::Error;
use crate::extract;
use crate::mail::parse_address;
use crate::people::{ID, is_nowhere};

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    visitor: Authorized<Public>,
    extract::Json(request): extract::Json<CodeRequest>,
) -> Result<StatusCode, Error> {
    let to = parse_address(ID, &request.email)?;
    if !control.config.people.mail.can_send() {
        let detail = "this platform sends no mails: ask its operator for a new password";
        return Err(Api::forbidden(ID, detail).into());
    }
    control.count_mail(&to, visitor.address).await?;
    if is_nowhere(&to) {
        // A code would take the place of the operator's secret, and nobody would get it.
        return Ok(StatusCode::ACCEPTED);
    }
    let known = control.db.person_by_email(to.as_ref()).await.map_err(Error::db(ID))?;
    let code = mailed_code();
    let stored = Code::new(Purpose::Reset, key_of(to.as_ref()), code.expose());
    control.db.put_codes(&[stored]).await.map_err(Error::db(ID))?;
    if known.is_some_and(|person| person.deleted_ms.is_none()) {
        control.post(control.texts().reset_code(to, code.expose()))?;
    }
    Ok(StatusCode::ACCEPTED)
}
