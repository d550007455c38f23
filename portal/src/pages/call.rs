//! Calling an endpoint from its form.

use std::time::Instant;

use axum::response::IntoResponse;
use micro_client::Call;
use serde_json::{Value, json};

use super::Answer;
use super::service::{Head, endpoints_page};
use crate::config::REPLY_BYTES_MAX;
use crate::error::Fault;
use crate::form::Form;
use crate::schema;
use crate::session::Person;

pub(crate) async fn send(person: Person, form: Form) -> Answer {
    let head = Head::read(&person).await?;
    let name = form.text("endpoint").to_owned();
    let endpoint = head.endpoints().iter().find(|endpoint| endpoint.name == name);
    let request = match schema::request(endpoint, &form) {
        Ok(request) => request,
        Err((field, problem)) if person.visit.by_script() => {
            return Ok(axum::Json(json!({ "field": field, "problem": problem })).into_response());
        }
        Err((field, problem)) => {
            let filled = kept(&form).problem(&format!("{name} {field}"), problem);
            return endpoints_page(&person, &head, &filled, None);
        }
    };
    let call = Call { service: head.name.to_string(), endpoint: name.clone(), request, metadata: Vec::new() };
    let started = Instant::now();
    let answer = person.client.call(&call).await;
    let reply = reply(&name, answer, started)?;
    if person.visit.by_script() {
        let html = person.fragment("reply.html", json!({ "reply": reply }))?;
        return Ok(axum::Json(json!({ "html": html })).into_response());
    }
    endpoints_page(&person, &head, &kept(&form), Some(reply))
}

/// What was typed stays in the form that it was typed into.
fn kept(form: &Form) -> crate::form::Filled {
    let endpoint = form.text("endpoint");
    form.names()
        .filter(|name| name.starts_with("f.") || *name == "request")
        .fold(crate::form::Filled::default(), |filled, name| {
            filled.value(&format!("{endpoint} {name}"), form.raw(name))
        })
}

/// What the service said, or the error that came instead; both are replies.
fn reply(
    endpoint: &str,
    answer: micro_client::Result<axum::body::Bytes>,
    started: Instant,
) -> Result<Value, Fault> {
    let micros = i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX);
    let (code, body) = match answer {
        Ok(body) => (200, body.to_vec()),
        Err(micro_client::Error::Api(error)) => (error.code, pretty(error.to_json().as_bytes()).into_bytes()),
        Err(other) => return Err(other.into()),
    };
    let text = pretty(&body);
    let (shown, cut) = match text.char_indices().nth(REPLY_BYTES_MAX) {
        Some((at, _)) => (text.get(..at).unwrap_or_default(), true),
        None => (text.as_str(), false),
    };
    Ok(json!({
        "endpoint": endpoint,
        "code": code,
        "status": micro_api::error::status_text(code),
        "good": code < 400,
        "micros": micros,
        "bytes": body.len(),
        "text": shown,
        "cut": cut,
    }))
}

/// JSON with line ends, other text as it is.
fn pretty(body: &[u8]) -> String {
    let json = serde_json::from_slice::<Value>(body).ok();
    let json = json.and_then(|value| serde_json::to_string_pretty(&value).ok());
    json.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}
