//! `/settings/keys`: API keys of the namespace, command lines' tokens among them.

use micro_api::auth::Role;
use micro_api::person::{NewKey, NewKeyMade};
use serde_json::json;

use super::{Answer, see};
use crate::error::mendable;
use crate::form::{Filled, Form};
use crate::session::Person;

pub(crate) async fn show(person: Person) -> Answer {
    page(&person, &Filled::default(), None).await
}

async fn page(person: &Person, filled: &Filled, made: Option<&NewKeyMade>) -> Answer {
    let mut keys = person.client.keys().await?;
    keys.sort_by_key(|key| std::cmp::Reverse(key.created_ms));
    let roles: Vec<Role> = Role::ALL.into_iter().filter(|role| person.may(*role)).collect();
    let content = json!({ "keys": keys, "roles": roles, "form": filled, "made": made, "tab": "keys" });
    person.page("settings", "settings_keys.html", content)
}

pub(crate) async fn create(person: Person, form: Form) -> Answer {
    let mut filled = form.keep(&["description", "scope", "scopes", "days", "service"]);
    let days = form.text("days");
    let days = if days.is_empty() { Ok(0) } else { days.parse::<u32>() };
    if form.text("description").is_empty() {
        filled = filled.problem("description", "Say what the key is for, so that you know it in this list.");
    }
    if !days.as_ref().is_ok_and(|days| *days <= 365) {
        filled = filled.problem("days", "Give a number of days from 1 to 365.");
    }
    if !filled.is_good() {
        return page(&person, &filled, None).await;
    }
    let named = form.text("scopes").split([',', ' ']).filter(|scope| !scope.is_empty()).map(str::to_owned);
    let role = Some(form.text("scope").to_owned()).filter(|role| !role.is_empty());
    let key = NewKey {
        description: form.text("description").to_owned(),
        scopes: role.into_iter().chain(named).collect(),
        days: days.unwrap_or_default(),
        service: form.text("service").to_owned(),
    };
    match person.client.create_key(&key).await {
        Ok(made) => page(&person, &Filled::default(), Some(&made)).await,
        Err(error) => {
            let words = [
                ("service", "service"),
                ("scope", "scopes"),
                ("days", "days"),
                ("description", "description"),
            ];
            page(&person, &filled.blame("key", &words, mendable(error)?), None).await
        }
    }
}

pub(crate) async fn revoke(person: Person, _form: Form) -> Answer {
    match person.client.revoke_key(person.param("id")).await {
        Ok(()) => Ok(see("/settings/keys?done=revoked")),
        Err(error) => page(&person, &Filled::default().fail("keys", mendable(error)?), None).await,
    }
}
