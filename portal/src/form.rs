//! The fields of a form. Only here a [`Form`] is made, and only after the form's token was checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};
use serde::Serialize;

use crate::config::{BODY_BYTES_MAX, FIELD_BYTES_MAX, FIELDS_MAX, JSON_BYTES_MAX};
use crate::cookie;
use crate::csrf::Tie;
use crate::error::Fault;
use crate::portal::Portal;

/// The name of the field that holds the token.
pub(crate) const TOKEN: &str = "csrf";
/// Names of fields that hold JSON and may be long: a call's request.
const JSON_FIELD: &str = "request";

/// A form whose token was good.
#[derive(Debug)]
pub(crate) struct Form {
    fields: Vec<(String, String)>,
}

impl Form {
    /// The text of a field without spaces around it; empty when it was not sent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The text as it was typed, for passwords.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The names of all fields, as they were sent.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// Whether the field was sent at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(key, _)| key == name)
    }

    /// What to show again after an error: the named fields, which must not be secrets.
    pub(crate) fn keep(&self, names: &[&str]) -> Filled {
        let values = names.iter().map(|name| ((*name).to_owned(), self.raw(name).to_owned())).collect();
        Filled { values, ..Filled::default() }
    }
}

/// What a form shows: what was typed before, and what was wrong with it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Filled {
    pub(crate) values: BTreeMap<String, String>,
    /// Field name to message.
    problems: BTreeMap<String, String>,
    /// What is wrong with the form as a whole, by the form's name.
    failed: BTreeMap<String, String>,
}

impl Filled {
    pub(crate) fn problem(mut self, field: &str, text: impl Into<String>) -> Self {
        self.problems.insert(field.to_owned(), text.into());
        self
    }

    pub(crate) fn fail(mut self, form: &str, text: impl Into<String>) -> Self {
        self.failed.insert(form.to_owned(), text.into());
        self
    }

    /// Puts a message of the control API beside the first of `fields` that it speaks of, or over the form.
    pub(crate) fn blame(self, form: &str, fields: &[(&str, &str)], text: String) -> Self {
        let lower = text.to_ascii_lowercase();
        match fields.iter().find(|(word, _)| lower.contains(word)) {
            Some((_, field)) => self.problem(field, text),
            None => self.fail(form, text),
        }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.problems.is_empty() && self.failed.is_empty()
    }

    pub(crate) fn value(mut self, field: &str, text: impl Into<String>) -> Self {
        self.values.insert(field.to_owned(), text.into());
        self
    }
}

impl FromRequest<Arc<Portal>> for Form {
    type Rejection = Fault;

    async fn from_request(request: Request, portal: &Arc<Portal>) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        check_type(&parts.headers)?;
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                Fault::told(413, format!("A form may have at most {} KiB.", BODY_BYTES_MAX >> 10))
            } else {
                Fault::told(400, "The form did not arrive whole. Send it again.")
            }
        })?;
        let form = Self { fields: parse(&body.to_bytes())? };
        form.check_token(portal, &parts.headers)?;
        Ok(form)
    }
}

impl Form {
    fn check_token(&self, portal: &Portal, headers: &HeaderMap) -> Result<(), Fault> {
        let secure = portal.config.secure;
        let session = cookie::read(headers, cookie::SESSION, secure);
        let visit = cookie::read(headers, cookie::VISIT, secure);
        let tie = session.as_deref().map(Tie::Session).or_else(|| visit.as_deref().map(Tie::Visit));
        let good = tie.is_some_and(|tie| portal.csrf.check(tie, self.raw(TOKEN)));
        if good {
            return Ok(());
        }
        Err(Fault::told(
            403,
            "The form belongs to another session, or the page was open for too long. Load the page again, and \
             allow cookies for this site if it stays so.",
        ))
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), Fault> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(());
    }
    Err(Fault::told(415, "A form is sent as `application/x-www-form-urlencoded`."))
}

fn parse(body: &[u8]) -> Result<Vec<(String, String)>, Fault> {
    let mut fields = Vec::new();
    for (name, value) in form_urlencoded::parse(body) {
        if fields.len() == FIELDS_MAX {
            return Err(Fault::told(413, format!("A form may have at most {FIELDS_MAX} fields.")));
        }
        let most = if name == JSON_FIELD { JSON_BYTES_MAX } else { FIELD_BYTES_MAX };
        if name.len() > 256 || value.len() > most {
            return Err(Fault::told(413, format!("A field of the form is longer than {most} bytes.")));
        }
        fields.push((name.into_owned(), value.into_owned()));
    }
    Ok(fields)
}
