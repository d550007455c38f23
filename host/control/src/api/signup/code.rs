//! `POST /v1/signup/code`: mails a code. What is answered, and what is done until then, is the same whether the address
//! has an account; the mail says it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::person::{CodeRequest, SignupMode};
use micro_db::people::key_of;
use micro_db::{Code, Purpose};

use super::{mailed_code, no_codes};
use crate::Control;
use crate::authz::{Authorized, Public};
use crate::error::Error;
use crate::extract;
use crate::mail::parse_address;
use crate::people::ID;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    visitor: Authorized<Public>,
    extract::Json(request): extract::Json<CodeRequest>,
) -> Result<StatusCode, Error> {
    let to = parse_address(ID, &request.email)?;
    let mode = control.signup_mode();
    if mode != SignupMode::Code {
        return Err(no_codes(mode));
    }
    control.count_mail(&to, visitor.address).await?;
    let known = control.db.person_by_email(to.as_ref()).await.map_err(Error::db(ID))?;
    // Stored for a known address as well, where nobody learns it, so that both take as long.
    let code = mailed_code();
    let stored = Code::new(Purpose::SignUp, key_of(to.as_ref()), code.expose());
    control.db.put_codes(&[stored]).await.map_err(Error::db(ID))?;
    control.post(match known {
        Some(_) => control.texts().has_account(to),
        None => control.texts().sign_up_code(to, code.expose()),
    })?;
    Ok(StatusCode::ACCEPTED)
}
