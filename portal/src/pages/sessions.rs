//! `/settings/sessions`: where the person is signed in, and what else signs them in.

use serde_json::json;

use super::{Answer, see};
use crate::error::mendable;
use crate::form::{Filled, Form};
use crate::session::Person;

pub(crate) async fn show(person: Person) -> Answer {
    page(&person, &Filled::default()).await
}

pub(super) async fn page(person: &Person, filled: &Filled) -> Answer {
    let mut sessions = person.client.sessions().await?;
    sessions.sort_by_key(|session| (!session.current, std::cmp::Reverse(session.used_ms)));
    let oidc = person.visit.client.signup_info().await?.oidc;
    let identities = if oidc.is_some() { person.client.identities().await? } else { Vec::new() };
    person.page(
        "settings",
        "settings_sessions.html",
        json!({
            "sessions": sessions, "oidc": oidc, "identities": identities, "form": filled, "tab": "sessions",
        }),
    )
}

pub(crate) async fn end(person: Person, _form: Form) -> Answer {
    match person.client.end_session(person.param("id")).await {
        Ok(()) => Ok(see("/settings/sessions?done=ended")),
        Err(error) => page(&person, &Filled::default().fail("sessions", mendable(error)?)).await,
    }
}
