//! `/v1/me/email`: `POST` sends a code to the old and to the new address, `PUT` brings both back.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use lettre::Address;
use micro_api::Error as Api;
use micro_api::person::ChangeEmail;
use micro_db::people::key_of;
use micro_db::{Code, Person, Purpose};

use crate::Control;
use crate::api::signup::mailed_code;
use crate::authz::{Authorized, Signed};
use crate::error::Error;
use crate::extract;
use crate::mail::parse_address;
use crate::people::{GUESSES, ID, is_nowhere};

pub(crate) async fn begin(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    extract::Json(change): extract::Json<ChangeEmail>,
) -> Result<StatusCode, Error> {
    let person = control.person_row(caller.identity.person.as_deref()).await?;
    let new = parse_address(ID, &change.email)?;
    if key_of(new.as_ref()) == key_of(&person.email) {
        return Err(Api::bad_request(ID, "this is your e-mail address already").into());
    }
    if !control.config.people.mail.can_send() {
        let detail = "this platform sends no mails, so no address can be proved: ask its operator";
        return Err(Api::forbidden(ID, detail).into());
    }
    control.count_mail(&new, caller.address).await?;
    let known = control.db.person_by_email(new.as_ref()).await.map_err(Error::db(ID))?;
    let (old_code, new_code) = (mailed_code(), mailed_code());
    let codes = codes(&person, &new, old_code.expose(), new_code.expose());
    control.db.put_codes(&codes).await.map_err(Error::db(ID))?;
    let texts = control.texts();
    let old = parse_address(ID, &person.email)?;
    control.post(texts.old_email_code(old, old_code.expose(), &new))?;
    // Who has the new address already is told there, and not here.
    control.post(match known {
        Some(_) => texts.has_account(new),
        None => texts.new_email_code(new, new_code.expose()),
    })?;
    Ok(StatusCode::ACCEPTED)
}

pub(crate) async fn confirm(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    extract::Json(change): extract::Json<ChangeEmail>,
) -> Result<StatusCode, Error> {
    let person = control.person_row(caller.identity.person.as_deref()).await?;
    let new = parse_address(ID, &change.email)?;
    control.count(GUESSES, &person.id).await?;
    let codes = codes(&person, &new, &change.old_code, &change.new_code);
    let changed = control.db.change_email(&person.id, new.as_ref(), &codes, &caller.actor()).await;
    changed.map_err(Error::db(ID))?;
    control.tell_person(&person, |texts, old| texts.email_changed(old, &new));
    Ok(StatusCode::NO_CONTENT)
}

/// The two codes are bound to the person and the new address. An operator who has no address yet proves only the new
/// one: the same code then stands for both.
fn codes(person: &Person, new: &Address, old_code: &str, new_code: &str) -> [Code; 2] {
    let subject = format!("{} {}", person.id, key_of(new.as_ref()));
    let nowhere = person.email.parse().is_ok_and(|old: Address| is_nowhere(&old));
    let old_code = if nowhere { new_code } else { old_code };
    [Code::new(Purpose::EmailOld, &subject, old_code), Code::new(Purpose::EmailNew, &subject, new_code)]
}
