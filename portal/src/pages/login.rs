//! `/login` and logging out.

use micro_api::person::{Login, SessionOpened};
use serde_json::json;

use super::{Answer, home, see};
use crate::cookie;
use crate::error::mendable;
use crate::form::{Filled, Form};
use crate::redirect::own_path;
use crate::session::Visit;

/// What the control API's answer says when the password was right and the second factor is missing or wrong.
const SECOND_FACTOR: [&str; 4] = ["second factor", "totp", "six digits", "authenticator"];

pub(crate) async fn show(visit: Visit) -> Answer {
    let back = own_path(visit.query("redirect_to")).unwrap_or_default().to_owned();
    if let Some(client) = visit.session.as_deref().and_then(|session| visit.client.with_credential(session)) {
        // Only a session that still counts leads on; else the page would lead back here.
        if client.me().await.is_ok() {
            return Ok(see(if back.is_empty() { "/" } else { &back }));
        }
    }
    page(&visit, &Filled::default().value("redirect_to", back), false).await
}

pub(crate) async fn send(visit: Visit, form: Form) -> Answer {
    let mut filled = form.keep(&["id", "redirect_to"]);
    let login = Login {
        id: form.text("id").to_owned(),
        secret: form.raw("password").to_owned(),
        totp: form.text("totp").replace(' ', ""),
    };
    if login.id.is_empty() {
        filled = filled.problem("id", "Give your e-mail address or name.");
    }
    if login.secret.is_empty() {
        filled = filled.problem("password", "Give your password.");
    }
    if !filled.is_good() {
        return page(&visit, &filled, !login.totp.is_empty()).await;
    }
    match visit.client.login(&login).await {
        Ok(opened) => {
            let back = own_path(form.text("redirect_to")).map(str::to_owned);
            enter(&visit, &opened, back.as_deref()).await
        }
        Err(micro_client::Error::Api(error)) if error.code == 401 => {
            let detail = error.detail.to_ascii_lowercase();
            if SECOND_FACTOR.iter().any(|word| detail.contains(word)) {
                let text = if login.totp.is_empty() {
                    "Your account has a second factor: give its code, and the password once more."
                } else {
                    "This code is not right. Codes change every 30 seconds: give the current one, and the \
                     password once more."
                };
                return page(&visit, &filled.problem("totp", text), true).await;
            }
            // One answer for an unknown name and a wrong password.
            let text = "The name or the password is wrong.";
            page(&visit, &filled.fail("login", text), !login.totp.is_empty()).await
        }
        Err(error) => {
            let text = mendable(error)?;
            page(&visit, &filled.fail("login", text), !login.totp.is_empty()).await
        }
    }
}

pub(super) async fn page(visit: &Visit, filled: &Filled, totp: bool) -> Answer {
    // A login by password needs no more of the page, so that it is shown whatever comes of this question.
    let oidc = visit.client.signup_info().await.ok().and_then(|info| info.oidc);
    visit.page("login.html", json!({ "form": filled, "totp": totp, "oidc": oidc }))
}

/// Gives the browser its new session and sends it on. The session that it had before ends: what somebody else may
/// know of it is worth nothing any more.
pub(crate) async fn enter(visit: &Visit, opened: &SessionOpened, back: Option<&str>) -> Answer {
    end_old(visit).await;
    let mut response = see(back.unwrap_or(&home(&opened.namespace)));
    visit.set_cookie(&mut response, cookie::SESSION, &opened.session);
    if !opened.namespace.is_empty() {
        visit.set_cookie(&mut response, cookie::NAMESPACE, &opened.namespace);
    }
    visit.remove_cookie(&mut response, cookie::VISIT);
    Ok(response)
}

async fn end_old(visit: &Visit) {
    let old = visit.session.as_deref().and_then(|session| visit.client.with_credential(session));
    let Some(old) = old else { return };
    if let Err(error) = old.end_session("current").await
        && error.code() != 401
    {
        tracing::warn!(%error, "the session before a login could not be ended");
    }
}

/// Whoever has a session may end it, even one whose account is blocked.
pub(crate) async fn logout(visit: Visit, _form: Form) -> Answer {
    let own = visit.session.as_deref().and_then(|session| visit.client.with_credential(session));
    if let Some(own) = own {
        match own.end_session("current").await {
            Err(error) if !matches!(error.code(), 401 | 403) => return Err(error.into()),
            _ => {}
        }
    }
    let mut response = see("/login?done=bye");
    visit.remove_cookie(&mut response, cookie::SESSION);
    Ok(response)
}
