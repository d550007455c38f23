//! `/v1/me/totp`: a second factor. `POST` begins it, `PUT` switches it on by a code, `DELETE` off by another.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::Error as Api;
use micro_api::person::{TotpCode, TotpSecret};
use micro_auth::{Secret, totp};
use micro_db::{Person, Refusal, now_ms};

use crate::Control;
use crate::authz::{Authorized, Signed};
use crate::error::{Error, chain};
use crate::extract;
use crate::people::{CONFIRMATIONS, ID};
use crate::seal;

/// What an authenticator shows above the digits.
const ISSUER: &str = "Micro";

pub(crate) async fn begin(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
) -> Result<Json<TotpSecret>, Error> {
    let person = control.person_row(caller.identity.person.as_deref()).await?;
    let secret = totp::generate();
    let uri = totp::uri(&secret, ISSUER, &person.name).map_err(|error| {
        tracing::error!(error = chain(&error), "A second factor cannot be shown");
        Api::internal(ID, "internal error")
    })?;
    let sealed = control.credentials.sealer().seal(&context(&person), secret.expose().as_bytes());
    control.db.begin_totp(&person.id, &sealed).await.map_err(Error::db(ID))?;
    let (secret, uri) = (secret.expose().to_owned(), uri.expose().to_owned());
    Ok(Json(TotpSecret { secret, uri }))
}

pub(crate) async fn confirm(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    extract::Json(code): extract::Json<TotpCode>,
) -> Result<StatusCode, Error> {
    let person = control.person_row(caller.identity.person.as_deref()).await?;
    control.count(CONFIRMATIONS, &person.id).await?;
    let refused = |refusal: Refusal| Error::db(ID)(refusal.into());
    if person.has_totp() {
        return Err(refused(Refusal::TotpOn));
    }
    let sealed = person.sealed_totp.as_deref().ok_or_else(|| refused(Refusal::TotpOff))?;
    let secret = open(&control, &person, sealed)?;
    let step = totp::check(&secret, &code.totp, now_ms() / 1_000).ok().flatten();
    let step = step.and_then(|step| i64::try_from(step).ok()).ok_or_else(wrong)?;
    control.db.confirm_totp(&person.id, step, &caller.actor()).await.map_err(Error::db(ID))?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn remove(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    extract::Json(code): extract::Json<TotpCode>,
) -> Result<StatusCode, Error> {
    let person = control.person_row(caller.identity.person.as_deref()).await?;
    control.count(CONFIRMATIONS, &person.id).await?;
    if !person.has_totp() {
        return Err(Error::db(ID)(Refusal::TotpOff.into()));
    }
    // The person is signed in, so that a wrong code is no 401 here.
    control.check_totp(&person, &code.totp).await.map_err(|error| match error.0.code {
        401 => wrong(),
        _ => error,
    })?;
    control.db.remove_totp(&person.id, &caller.actor()).await.map_err(Error::db(ID))?;
    Ok(StatusCode::NO_CONTENT)
}

fn context(person: &Person) -> String {
    seal::second_factor(&person.id)
}

fn open(control: &Control, person: &Person, sealed: &str) -> Result<Secret, Error> {
    let opened = control.credentials.sealer().open(&context(person), sealed).ok();
    let text = opened.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    text.map(Secret::new).ok_or_else(|| {
        tracing::error!(person = person.id, "A second factor cannot be unsealed");
        Api::internal(ID, "the second factor cannot be checked").into()
    })
}

fn wrong() -> Error {
    let detail =
        "the code is wrong or was used before: wait for the next one, and check the clock of your device";
    Api::bad_request(ID, detail).into()
}
