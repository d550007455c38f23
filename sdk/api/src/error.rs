//! Micro's error object, `{"id","code","detail","status"}`, the same on every surface of the platform.

use serde::{Deserialize, Serialize};

/// An error as a client or a guest sees it. `id` names who failed (a service name, or `go.micro.rpc`), `code` is an
/// HTTP status, `status` its standard text. Source: Micro v2 `errors.Error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, thiserror::Error)]
#[error("{}", self.to_json())]
pub struct Error {
    /// Who failed: a service name, or a component of the platform.
    #[serde(default)]
    pub id: String,
    /// HTTP status code.
    #[serde(default)]
    pub code: u16,
    /// What went wrong, and what to do about it, for the caller.
    #[serde(default)]
    pub detail: String,
    /// The standard text of `code`.
    #[serde(default)]
    pub status: String,
}

impl Error {
    /// An error with the standard status text of `code`.
    pub fn new(id: impl Into<String>, code: u16, detail: impl Into<String>) -> Self {
        Self { id: id.into(), code, detail: detail.into(), status: status_text(code).to_owned() }
    }
    pub fn bad_request(id: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(id, 400, detail)
    }
    pub fn unauthorized(id: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(id, 401, detail)
    }
    pub fn forbidden(id: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(id, 403, detail)
    }
    pub fn not_found(id: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(id, 404, detail)
    }
    pub fn timeout(id: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(id, 408, detail)
    }
    pub fn conflict(id: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(id, 409, detail)
    }
    pub fn internal(id: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(id, 500, detail)
    }

    /// The one-line JSON form, keys in Micro's order.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Parses the JSON form; any other text becomes an error with only `detail` set, as Micro does.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self {
            id: String::new(),
            code: 0,
            detail: text.to_owned(),
            status: String::new(),
        })
    }
}

/// The standard reason phrase of an HTTP status, as Go's `http.StatusText` spells it; empty when unknown.
pub fn status_text(code: u16) -> &'static str {
    match code {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Request Entity Too Large",
        414 => "Request URI Too Long",
        415 => "Unsupported Media Type",
        421 => "Misdirected Request",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_micros_key_order() {
        let error = Error::not_found("greeter", "service not found");
        assert_eq!(
            error.to_json(),
            r#"{"id":"greeter","code":404,"detail":"service not found","status":"Not Found"}"#
        );
        assert_eq!(Error::parse(&error.to_json()), error);
    }

    #[test]
    fn text_that_is_not_json_becomes_the_detail() {
        let error = Error::parse("boom");
        assert_eq!((error.code, error.detail.as_str()), (0, "boom"));
    }
}
