//! What an error of the server means for a call.

use std::error::Error as _;

use crate::blob::Error;

/// Most characters of a text of the server's that are passed on.
const TEXT_CHARS_MAX: usize = 300;

/// Why a call failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// What the server answered with, if it did.
    status: Option<u16>,
    /// The server's word for it, `NoSuchBucket`.
    code: Option<String>,
    text: String,
}

/// What a call failed at, for those to which no answer means anything else.
pub(super) fn failed(doing: &'static str) -> impl Fn(object_store::Error) -> Error {
    move |error| Failure::from(&error).doing(doing)
}

impl From<&object_store::Error> for Failure {
    fn from(error: &object_store::Error) -> Self {
        // The library's own words name method, address and tries; what happened is what all of it came from.
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = cause.to_string();
            source = cause.source();
        }
        let status = text.split_once("status code: ").and_then(|(_, rest)| rest.get(..3)?.parse().ok());
        let body = text.find("<Error").and_then(|start| text.get(start..)).unwrap_or_default();
        Self {
            status,
            code: element(body, "Code"),
            text: element(body, "Message").unwrap_or_else(|| cut(&text)),
        }
    }
}

impl Failure {
    /// From an answer of the server.
    pub(super) fn answered(status: u16, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let text = element(&body, "Message").unwrap_or_else(|| format!("status {status}"));
        Self { status: Some(status), code: element(&body, "Code"), text }
    }

    /// From an answer that is not what the protocol says.
    pub(super) fn strange(text: &dyn std::fmt::Display) -> Self {
        Self { status: None, code: None, text: cut(&format!("an answer that is not one of S3: {text}")) }
    }

    fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// There is no such object, or no such upload. That the bucket is gone is something else.
    pub(super) fn is_missing(&self) -> bool {
        self.status == Some(404) && !self.is("NoSuchBucket")
    }

    /// The range that was asked for begins behind the last byte.
    pub(super) fn is_behind_the_end(&self) -> bool {
        self.status == Some(416)
    }

    /// The server has no such call.
    pub(super) fn is_unknown_call(&self) -> bool {
        matches!(self.status, Some(405 | 501)) || self.is("NotImplemented")
    }

    /// The key may not make this call.
    pub(super) fn is_refused(&self) -> bool {
        self.is("AccessDenied")
    }

    /// The error of whoever was doing that.
    pub(super) fn doing(self, doing: &str) -> Error {
        if matches!(self.status, Some(429 | 503)) || self.is("SlowDown") {
            return Error::Busy;
        }
        let means = match self.code.as_deref() {
            Some("NoSuchBucket") => "the bucket does not exist",
            Some("InvalidAccessKeyId") => "the server does not know the access key",
            Some("SignatureDoesNotMatch") => "the secret is not that of the access key",
            Some("AccessDenied") => "the access key may not do this",
            Some("RequestTimeTooSkewed") => "the clocks of this machine and of the server differ too much",
            Some("AuthorizationHeaderMalformed" | "PermanentRedirect") => {
                "the region is not that of the bucket"
            }
            _ => "",
        };
        let code = self.code.map(|code| format!(" ({})", cut(&code))).unwrap_or_default();
        match means {
            "" => Error::Backend(format!("{doing} on S3: {}{code}", self.text)),
            means => Error::Backend(format!("{doing} on S3: {means}{code}")),
        }
    }
}

/// What an element of the server's XML holds. Only texts for people are read so.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(cut(inner))
}

/// A line of bounded length.
fn cut(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(TEXT_CHARS_MAX).collect()
}
