//! `POST /v1/signup`: a person, their project and namespace, and a session.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::Error as Api;
use micro_api::person::{SessionOpened, Signup, SignupMode};
use micro_auth::key::namespace_name;
use micro_db::people::key_of;
use micro_db::signup::is_name;
use micro_db::{Code, Home, NewPerson, Proof, Purpose, Refusal};

use super::{invitation_digest, no_codes};
use crate::Control;
use crate::authz::{Authorized, Public};
use crate::error::Error;
use crate::extract;
use crate::login::From;
use crate::mail::parse_address;
use crate::people::{GUESSES, ID, SIGN_UPS};

/// What a name may be, in words.
pub(crate) const NAME_RULE: &str =
    "a name has 3 to 39 letters, digits, `-`, `_` or `.`, and begins and ends with a letter or digit";

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    visitor: Authorized<Public>,
    extract::Json(signup): extract::Json<Signup>,
) -> Result<(StatusCode, Json<SessionOpened>), Error> {
    let email = parse_address(ID, &signup.email)?;
    if !signup.name.is_empty() && !is_name(&signup.name) {
        return Err(Api::bad_request(ID, NAME_RULE).into());
    }
    let proof = prove(&control, &visitor, &signup).await?;
    let password = control.hash(&signup.password).await?;
    let address = visitor.address.to_string();
    let new = NewPerson {
        email: email.as_ref(),
        name: &signup.name,
        password: &password,
        invitations: control.config.people.invitations,
        address: &address,
    };
    let plans = &control.config.plans;
    let members_max = |plan: &str| plans.of(plan).and_then(|plan| plan.quotas().members);
    let home = Home {
        join: signup.join,
        plan: plans.default_name(),
        names: &namespace_name,
        members_max: &members_max,
    };
    let made = control.db.sign_up(&new, &proof, &home).await.map_err(Error::db(ID))?;
    control.follow().await;
    tracing::info!(person = made.person.id, namespace = %made.namespace, "Somebody signed up");
    let from = From { address: visitor.address, agent: &visitor.agent };
    let opened = control.open_session(&made.person, &from).await?;
    Ok((StatusCode::CREATED, Json(opened)))
}

/// What proves the address. A wrong code costs no hash of a password; it is compared again when it is used up.
async fn prove(control: &Control, visitor: &Authorized<Public>, signup: &Signup) -> Result<Proof, Error> {
    let (mode, address) = (control.signup_mode(), visitor.address.to_string());
    if mode == SignupMode::Closed {
        return Err(no_codes(mode));
    }
    control.count(GUESSES, &address).await?;
    if !signup.invitation.is_empty() {
        let digest = invitation_digest(&signup.invitation)?;
        let waiting = control.db.invitation(&digest).await.map_err(Error::db(ID))?;
        waiting.ok_or_else(|| Error::db(ID)(Refusal::NoInvitation.into()))?;
        // Without a mail the inviter has handed the code on, and could have kept it.
        return Ok(Proof::Invitation { digest, mailed: control.config.people.mail.can_send() });
    }
    match mode {
        SignupMode::Code => {
            let code = Code::new(Purpose::SignUp, key_of(&signup.email), &signup.code);
            control.db.check_code(&code).await.map_err(Error::db(ID))?;
            Ok(Proof::Code(code))
        }
        SignupMode::Open => {
            control.count(SIGN_UPS, &address).await?;
            Ok(Proof::None)
        }
        mode => Err(no_codes(mode)),
    }
}
