//! `POST /v1/oidc/finish`: a browser comes back from the provider.
//!
//! Who was linked before is signed in. An address makes nobody somebody else: an account is linked by itself only when
//! the provider has verified the address and the account's owner has proved it too; else its owner signs in and links.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::Error as Api;
use micro_api::oidc::{OidcFinish, OidcFinished};
use micro_api::person::SignupMode;
use micro_auth::key::namespace_name;
use micro_auth::{Credential, IdClaims, key, random_secret};
use micro_db::{Actor, Flow, Home, NewIdentity, NewPerson, Person, Proof, Refusal, Step, now_ms};

use super::{SEALED_IDENTITY, SEALED_VERIFIER, provider, redirect_uri, unseal};
use crate::Control;
use crate::authz::{AUTH, Authorized, Public};
use crate::error::Error;
use crate::extract;
use crate::login::{From, check_standing};
use crate::mail::parse_address;
use crate::oidc::{Answer, ID, Oidc};
use crate::people::SIGN_UPS;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    visitor: Authorized<Public>,
    extract::Json(finish): extract::Json<OidcFinish>,
) -> Result<Json<OidcFinished>, Error> {
    let provider = provider(&control)?;
    control.count_login(visitor.address).await?;
    let digests = (key::digest(&finish.state), key::digest(&finish.browser));
    let flow = control.db.take_flow(Step::Provider, &digests.0, &digests.1).await.map_err(Error::db(ID))?;
    let flow = flow.ok_or_else(|| Error::db(ID)(Refusal::NoFlow.into()))?;
    // Asked before the code is used up, so that a link is begun and finished by one and the same person.
    if !flow.person.is_empty() {
        check_linker(&visitor, &flow)?;
    }
    let verifier = unseal(&control, SEALED_VERIFIER, &flow)?;
    let answer = Answer {
        redirect_uri: &redirect_uri(&control),
        code: &finish.code,
        iss: &finish.iss,
        verifier: &verifier,
        nonce: &flow.nonce,
    };
    let said =
        provider.exchange(&answer, now_ms() / 1_000).await.map_err(|error| provider.explain(&error))?;
    let identity = NewIdentity {
        issuer: provider.issuer().to_owned(),
        subject: said.subject.clone(),
        email: said.email.clone(),
    };
    if !flow.person.is_empty() {
        return link(&control, &visitor, flow, &identity).await.map(Json);
    }
    let from = From { address: visitor.address, agent: &visitor.agent };
    let Some(known) = known(&control, provider, &identity, &said).await? else {
        let person = sign_up(&control, provider, &from, &identity, &said).await?;
        return open(&control, &from, &Known::new(person), &identity, flow.redirect_to).await.map(Json);
    };
    if known.person.has_totp() {
        return ask_factor(&control, &known.person, &identity, flow).await.map(Json);
    }
    open(&control, &from, &known, &identity, flow.redirect_to).await.map(Json)
}

/// The person whom an identity is, and how that is known.
pub(super) struct Known {
    pub(super) person: Person,
    /// By the address that both have proved: it is linked when the person is signed in.
    by_email: bool,
    /// They were made just now.
    new: bool,
}

impl Known {
    fn new(person: Person) -> Self {
        Self { person, by_email: false, new: true }
    }
}

/// Whom an identity signs in; `None`: somebody new.
async fn known(
    control: &Control,
    provider: &Oidc,
    identity: &NewIdentity,
    said: &IdClaims,
) -> Result<Option<Known>, Error> {
    if let Some(known) = linked(control, identity).await? {
        return Ok(Some(known));
    }
    let name = provider.name();
    if said.email.is_empty() || !said.email_verified {
        let detail = format!(
            "{name} does not vouch for your e-mail address, so it cannot tell who you are here: verify the address \
             there, or sign in by password and link {name} in your settings"
        );
        return Err(Api::forbidden(ID, detail).into());
    }
    by_email(control, provider, identity).await
}

/// Whom an identity was linked to.
pub(super) async fn linked(control: &Control, identity: &NewIdentity) -> Result<Option<Known>, Error> {
    let person = control.db.person_of_identity(identity).await.map_err(Error::db(ID))?;
    let Some(person) = person else { return Ok(None) };
    check_standing(&person)?;
    Ok(Some(Known { person, by_email: false, new: false }))
}

/// Who has proved the address that the provider has verified.
pub(super) async fn by_email(
    control: &Control,
    provider: &Oidc,
    identity: &NewIdentity,
) -> Result<Option<Known>, Error> {
    let email = parse_address(ID, &identity.email)?;
    let person = control.db.person_by_email(email.as_ref()).await.map_err(Error::db(ID))?;
    let Some(person) = person else { return Ok(None) };
    check_standing(&person)?;
    if !person.has_proved_email() {
        let name = provider.name();
        // Somebody may have signed up with another's address, and waits for them to come.
        let detail = format!(
            "there is an account with your e-mail address, whose owner never proved the address: sign in by password \
             and link {name} in your settings, or set a new password by a mailed code first"
        );
        return Err(Api::forbidden(ID, detail).into());
    }
    Ok(Some(Known { person, by_email: true, new: false }))
}

/// Signs a person in, and links the identity if it is not yet.
pub(super) async fn open(
    control: &Control,
    from: &From<'_>,
    known: &Known,
    identity: &NewIdentity,
    redirect_to: String,
) -> Result<OidcFinished, Error> {
    let person = &known.person;
    if known.by_email {
        let (id, name) = (person.id.clone(), person.name.clone());
        let actor = Actor { id, name, address: from.address.to_string() };
        let linked = control.db.link_by_email(&person.id, identity, &actor).await.map_err(Error::db(ID))?;
        if linked {
            tell_linked(control, person, from);
        }
    }
    control.db.use_identity(identity).await.map_err(Error::db(ID))?;
    let session = control.open_session(person, from).await?;
    Ok(OidcFinished::Opened { session, redirect_to, new: known.new })
}

/// Somebody new comes as the operator's mode allows; the provider's word stands for the mailed code.
async fn sign_up(
    control: &Control,
    provider: &Oidc,
    from: &From<'_>,
    identity: &NewIdentity,
    said: &IdClaims,
) -> Result<Person, Error> {
    let mode = control.signup_mode();
    if mode == SignupMode::Closed {
        let name = provider.name();
        let detail = format!(
            "sign-up is closed, and {name} is linked to no account: sign in by password and link it in your settings"
        );
        return Err(Api::forbidden(ID, detail).into());
    }
    let email = parse_address(ID, &said.email)?;
    let address = from.address.to_string();
    control.count(SIGN_UPS, &address).await?;
    let new = NewPerson {
        email: email.as_ref(),
        name: "",
        password: "",
        invitations: control.config.people.invitations,
        address: &address,
    };
    let plans = &control.config.plans;
    let members_max = |plan: &str| plans.of(plan).and_then(|plan| plan.quotas().members);
    let home =
        Home { join: false, plan: plans.default_name(), names: &namespace_name, members_max: &members_max };
    let proof = Proof::Provider { identity: identity.clone(), invited: mode == SignupMode::Invitation };
    let made = control.db.sign_up(&new, &proof, &home).await.map_err(Error::db(ID))?;
    control.follow().await;
    tracing::info!(person = made.person.id, namespace = %made.namespace, "Somebody signed up by single sign-on");
    Ok(made.person)
}

/// The person has a second factor: what the provider said is kept until its code comes.
async fn ask_factor(
    control: &Control,
    person: &Person,
    identity: &NewIdentity,
    flow: Flow,
) -> Result<OidcFinished, Error> {
    let ticket = random_secret("");
    let text = serde_json::to_string(identity).map_err(|_| Api::internal(ID, "internal error"))?;
    let next = Flow {
        digest: key::digest(ticket.expose()),
        person: person.id.clone(),
        nonce: String::new(),
        sealed: control.credentials.sealer().seal(SEALED_IDENTITY, text.as_bytes()),
        ..flow
    };
    control.db.begin_flow(Step::Factor, &next).await.map_err(Error::db(ID))?;
    Ok(OidcFinished::Factor { ticket: ticket.expose().to_owned() })
}

/// A link is finished by whoever began it, with a credential of a person.
fn check_linker(visitor: &Authorized<Public>, flow: &Flow) -> Result<(), Error> {
    let Some(identity) = &visitor.identity else {
        return Err(Api::unauthorized(AUTH, "account is required: sign in, and link again").into());
    };
    let a_person =
        matches!(identity.credential, Credential::Session | Credential::Access | Credential::Local);
    if a_person && identity.person.as_deref() == Some(&flow.person) {
        return Ok(());
    }
    Err(Api::forbidden(ID, "another account began this link: sign in with that one, and link again").into())
}

async fn link(
    control: &Control,
    visitor: &Authorized<Public>,
    flow: Flow,
    identity: &NewIdentity,
) -> Result<OidcFinished, Error> {
    let person = control.person_row(Some(&flow.person)).await?;
    check_standing(&person)?;
    let from = From { address: visitor.address, agent: &visitor.agent };
    let (id, name) = (person.id.clone(), person.name.clone());
    let actor = Actor { id, name, address: from.address.to_string() };
    if control.db.link_identity(&person.id, identity, &actor).await.map_err(Error::db(ID))? {
        tell_linked(control, &person, &from);
    }
    Ok(OidcFinished::Linked { redirect_to: flow.redirect_to })
}

fn tell_linked(control: &Control, person: &Person, from: &From<'_>) {
    let name = control.config.people.oidc.as_ref().map(Oidc::name).unwrap_or_default();
    let address = from.address.to_string();
    control.tell_person(person, |texts, to| texts.identity_linked(to, name, &address));
}
