//! `/settings`: the line that logs a command line in.

use micro_api::Namespace;
use micro_api::person::NewKey;
use serde_json::json;

use super::Answer;
use crate::error::mendable;
use crate::form::{Filled, Form};
use crate::session::Person;

/// Where the command line looks for the platform unless it is told.
const BUILT_IN_PLATFORM: &str = "proxy.micro.mu";
/// Days that a token of the command line lives.
const DAYS: u32 = 90;

pub(crate) async fn show(person: Person) -> Answer {
    let filled = Filled::default().value("in", person.namespace());
    page(&person, &filled, None, None)
}

pub(crate) async fn create(person: Person, form: Form) -> Answer {
    let filled = form.keep(&["description", "in"]);
    let description = match form.text("description") {
        "" => "Command line",
        other => other,
    };
    let Ok(namespace) = form.text("in").parse::<Namespace>() else {
        return page(&person, &filled.problem("in", "Choose one of your namespaces."), None, None);
    };
    let key = NewKey { description: description.to_owned(), days: DAYS, ..NewKey::default() };
    match person.client.in_namespace(&namespace).create_key(&key).await {
        Ok(made) => page(&person, &filled, Some(&made.token), Some(made.key.expires_ms)),
        Err(error) => {
            let words = [("description", "description"), ("namespace", "in")];
            page(&person, &filled.blame("token", &words, mendable(error)?), None, None)
        }
    }
}

fn page(person: &Person, filled: &Filled, token: Option<&str>, expires_ms: Option<i64>) -> Answer {
    let content = json!({
        "form": filled, "token": token, "expires_ms": expires_ms, "env_line": env_line(person), "tab": "token",
    });
    person.page("settings", "settings_token.html", content)
}

/// The line that tells a command line where this platform is, unless it knows.
pub(crate) fn env_line(person: &Person) -> Option<String> {
    let url = &person.visit.portal.config.control_url;
    let host = url.trim_start_matches("https://").trim_end_matches('/').trim_end_matches(":443");
    (host != BUILT_IN_PLATFORM).then(|| format!("micro env add platform {}", crate::format::shell(url)))
}
