//! `/device`: a person lets a command line in that shows a code.

use micro_api::Namespace;
use micro_api::person::DeviceApprove;
use serde_json::json;

use super::{Answer, see};
use crate::error::mendable;
use crate::form::{Filled, Form};
use crate::session::Person;

pub(crate) async fn show(person: Person) -> Answer {
    let code =
        if person.query("user_code").is_empty() { person.query("code") } else { person.query("user_code") };
    let filled = Filled::default().value("user_code", code).value("in", person.namespace());
    person.page("", "device.html", json!({ "form": filled }))
}

pub(crate) async fn approve(person: Person, form: Form) -> Answer {
    let filled = form.keep(&["user_code", "in"]);
    let user_code = form.text("user_code").to_ascii_uppercase();
    if user_code.is_empty() {
        let filled = filled.problem("user_code", "Give the code that the command line shows.");
        return person.page("", "device.html", json!({ "form": filled }));
    }
    let namespace =
        form.text("in").parse::<Namespace>().map_or_else(|_| person.namespace().to_owned(), Into::into);
    match person.client.device_approve(&DeviceApprove { user_code, namespace }).await {
        Ok(()) => Ok(see("/settings/sessions?done=device")),
        Err(error) => {
            let filled = filled.problem("user_code", mendable(error)?);
            person.page("", "device.html", json!({ "form": filled }))
        }
    }
}
