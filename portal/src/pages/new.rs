//! `/n/<namespace>/new`: a service from a git URL.

use serde_json::json;

use super::{Answer, see, token};
use crate::error::mendable;
use crate::form::{Filled, Form};
use crate::session::Person;
use crate::source::run_request;

const FIELDS: [&str; 4] = ["url", "folder", "reference", "name"];

pub(crate) async fn show(person: Person) -> Answer {
    let filled =
        FIELDS.iter().fold(Filled::default(), |filled, field| filled.value(field, person.query(field)));
    page(&person, &filled)
}

pub(crate) async fn send(person: Person, form: Form) -> Answer {
    let filled = form.keep(&FIELDS);
    let request = match run_request(&form) {
        Ok(request) => request,
        Err((field, problem)) => return page(&person, &filled.problem(field, problem)),
    };
    match person.client.run(&request).await {
        Ok(deployment) => Ok(see(&person.at(&format!("deployments/{}", deployment.id)))),
        Err(error) => {
            let words =
                [("already running", "name"), ("folder", "folder"), ("url", "url"), ("repository", "url")];
            page(&person, &filled.blame("new", &words, mendable(error)?))
        }
    }
}

fn page(person: &Person, filled: &Filled) -> Answer {
    person.page("services", "new.html", json!({ "form": filled, "env_line": token::env_line(person) }))
}
