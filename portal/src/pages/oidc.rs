//! `/login/oidc`: signing in with an account of the operator's provider, and linking one.
//!
//! A form begins it, so that no other site can; what begins it is bound to this browser by a cookie. The page between
//! the form and the provider is there because the content security policy ends a form at this site.

use axum::response::Response;
use micro_api::oidc::{OidcFactor, OidcFinish, OidcFinished, OidcStart, OidcStarted};
use serde_json::json;

use super::{Answer, login, see, sessions};
use crate::cookie;
use crate::error::{Fault, mendable};
use crate::form::{Filled, Form};
use crate::redirect::own_path;
use crate::session::{Person, Visit};

/// Where a link leads to.
const LINKED: &str = "/settings/sessions?done=linked";

pub(crate) async fn start(visit: Visit, form: Form) -> Answer {
    let back = own_path(form.text("redirect_to")).unwrap_or_default().to_owned();
    let start = OidcStart { redirect_to: back.clone() };
    match visit.client.oidc_start(&start).await {
        Ok(started) => leave(&visit, &started),
        Err(error) => {
            let filled = Filled::default().value("redirect_to", back).fail("login", mendable(error)?);
            login::page(&visit, &filled, false).await
        }
    }
}

pub(crate) async fn link(person: Person, _form: Form) -> Answer {
    let start = OidcStart { redirect_to: LINKED.to_owned() };
    match person.client.link_identity(&start).await {
        Ok(started) => leave(&person.visit, &started),
        Err(error) => sessions::page(&person, &Filled::default().fail("identities", mendable(error)?)).await,
    }
}

pub(crate) async fn unlink(person: Person, _form: Form) -> Answer {
    match person.client.unlink_identity(person.param("id")).await {
        Ok(()) => Ok(see("/settings/sessions?done=unlinked")),
        Err(error) => sessions::page(&person, &Filled::default().fail("identities", mendable(error)?)).await,
    }
}

/// Sends the browser to the provider, with the secret that lets it come back.
fn leave(visit: &Visit, started: &OidcStarted) -> Answer {
    if !["https://", "http://"].iter().any(|scheme| started.url.starts_with(scheme)) {
        return Err(Fault::Broken("the provider's address is no web address".to_owned()));
    }
    let mut response = visit.page("login_leave.html", json!({ "url": started.url }))?;
    visit.set_cookie(&mut response, cookie::OIDC, &started.browser);
    Ok(response)
}

/// The provider sent the browser back.
pub(crate) async fn callback(person: Result<Person, Fault>, visit: Visit) -> Answer {
    let person = person.ok();
    let answer = finish(person.as_ref(), &visit).await;
    match answer {
        Ok(OidcFinished::Factor { ticket }) => factor_page(&visit, &ticket, &Filled::default()),
        Ok(finished) => arrive(&visit, finished).await,
        Err(text) => {
            let text = text?;
            let mut response = match &person {
                Some(person) => sessions::page(person, &Filled::default().fail("identities", text)).await?,
                None => login::page(&visit, &Filled::default().fail("login", text), false).await?,
            };
            visit.remove_cookie(&mut response, cookie::OIDC);
            Ok(response)
        }
    }
}

/// What the control API says of it, or what went wrong in words for a form.
async fn finish(person: Option<&Person>, visit: &Visit) -> Result<OidcFinished, Result<String, Fault>> {
    // What the provider calls its refusal is its own text, so none of it is shown.
    if !visit.query("error").is_empty() {
        let text = if visit.query("error") == "access_denied" {
            "You did not log in there, or did not allow it. Nothing has changed."
        } else {
            "The provider could not log you in. Try again, or log in by password."
        };
        return Err(Ok(text.to_owned()));
    }
    let Some(browser) = visit.cookie(cookie::OIDC) else {
        let text = "This login took longer than 10 minutes, was finished before, or began in another browser. \
                    Start again, and allow cookies for this site if it stays so.";
        return Err(Ok(text.to_owned()));
    };
    let finish = OidcFinish {
        code: visit.query("code").to_owned(),
        state: visit.query("state").to_owned(),
        iss: visit.query("iss").to_owned(),
        browser,
    };
    // A link is of the person who is signed in.
    let client = person.map_or(&visit.client, |person| &person.client);
    match client.oidc_finish(&finish).await {
        Ok(finished) => Ok(finished),
        // Only a link needs a session; to log in and come back here would not finish it.
        Err(error) if error.code() == 401 => {
            Err(Ok("Your session ended meanwhile. Log in, and link the account again.".to_owned()))
        }
        Err(error) => Err(mendable(error)),
    }
}

pub(crate) async fn factor(visit: Visit, form: Form) -> Answer {
    let ticket = form.text("ticket").to_owned();
    let factor = OidcFactor {
        ticket: ticket.clone(),
        browser: visit.cookie(cookie::OIDC).unwrap_or_default(),
        totp: form.text("totp").replace(' ', ""),
    };
    if factor.totp.is_empty() {
        let filled = Filled::default().problem("totp", "Give the six digits that your authenticator shows.");
        return factor_page(&visit, &ticket, &filled);
    }
    match visit.client.oidc_factor(&factor).await {
        Ok(finished) => arrive(&visit, finished).await,
        Err(micro_client::Error::Api(error)) if error.code == 401 => {
            let text = "This code is not right. Codes change every 30 seconds: give the current one.";
            factor_page(&visit, &ticket, &Filled::default().problem("totp", text))
        }
        Err(error) => {
            let filled = Filled::default().fail("login", mendable(error)?);
            login::page(&visit, &filled, false).await
        }
    }
}

async fn arrive(visit: &Visit, finished: OidcFinished) -> Answer {
    let mut response = match finished {
        OidcFinished::Opened { session, redirect_to, new } => {
            let welcome = format!("/n/{}?done=welcome", session.namespace);
            let back = own_path(&redirect_to).or_else(|| new.then_some(welcome.as_str()));
            login::enter(visit, &session, back).await?
        }
        // Checked once more where the address is written.
        OidcFinished::Linked { redirect_to } => see(&redirect_to),
        OidcFinished::Factor { .. } => {
            return Err(Fault::Broken("a second factor was asked for twice".to_owned()));
        }
    };
    visit.remove_cookie(&mut response, cookie::OIDC);
    Ok(response)
}

fn factor_page(visit: &Visit, ticket: &str, filled: &Filled) -> Result<Response, Fault> {
    visit.page("login_factor.html", json!({ "form": filled, "ticket": ticket }))
}
