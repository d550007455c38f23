//! Micro's error object.

use std::fmt;

mod parse;

/// What a handler answers when it fails, and what a client gets.
///
/// By convention `id` is the name of the service that failed. `code` is an HTTP status; the gateway answers with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Error {
    /// Who failed.
    pub id: String,
    /// HTTP status code.
    pub code: u16,
    /// What went wrong, for the caller.
    pub detail: String,
    /// The standard text of `code`.
    pub status: String,
}

macro_rules! constructors {
    ($($name:ident $code:literal $status:literal,)*) => {
        impl Error {
            $(
                #[doc = concat!("An error with code ", $code, ", `", $status, "`.")]
                pub fn $name(id: impl Into<String>, detail: impl Into<String>) -> Self {
                    Self { id: id.into(), code: $code, detail: detail.into(), status: $status.to_owned() }
                }
            )*

            /// An error with any code; the status text is empty for one that has no constructor here.
            pub fn new(id: impl Into<String>, code: u16, detail: impl Into<String>) -> Self {
                let status = match code {
                    $($code => $status,)*
                    _ => "",
                };
                Self { id: id.into(), code, detail: detail.into(), status: status.to_owned() }
            }
        }
    };
}

constructors! {
    bad_request 400 "Bad Request",
    unauthorized 401 "Unauthorized",
    forbidden 403 "Forbidden",
    not_found 404 "Not Found",
    method_not_allowed 405 "Method Not Allowed",
    timeout 408 "Request Timeout",
    conflict 409 "Conflict",
    too_many_requests 429 "Too Many Requests",
    internal_server_error 500 "Internal Server Error",
    not_implemented 501 "Not Implemented",
    bad_gateway 502 "Bad Gateway",
    service_unavailable 503 "Service Unavailable",
}

impl Error {
    /// Reads the JSON form; any other text becomes an error of which only `detail` is set.
    pub fn parse(text: &str) -> Self {
        parse::parse(text).unwrap_or_else(|| Self { detail: text.to_owned(), ..Self::default() })
    }
}

/// The JSON form, on one line, keys in Micro's order.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{\"id\":")?;
        quote(f, &self.id)?;
        write!(f, ",\"code\":{},\"detail\":", self.code)?;
        quote(f, &self.detail)?;
        f.write_str(",\"status\":")?;
        quote(f, &self.status)?;
        f.write_str("}")
    }
}

impl std::error::Error for Error {}

/// A text as JSON writes it, quotes included.
#[cfg(feature = "http")]
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

#[cfg(feature = "http")]
impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quote(f, self.0)
    }
}

fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            control if control < ' ' => write!(f, "\\u{:04x}", u32::from(control))?,
            other => fmt::Write::write_char(f, other)?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_prints_as_micros_json() {
        let error = Error::bad_request("go.micro.api.greeter", "Name \"cannot\"\nbe blank");
        assert_eq!(
            error.to_string(),
            r#"{"id":"go.micro.api.greeter","code":400,"detail":"Name \"cannot\"\nbe blank","status":"Bad Request"}"#
        );
        assert_eq!(Error::parse(&error.to_string()), error);
        assert_eq!(Error::new("x", 409, "").status, "Conflict");
        assert_eq!(Error::new("x", 418, "").status, "");
    }

    #[test]
    fn it_is_read_from_json_or_kept_as_detail() {
        let error = Error::parse(r#" { "detail" : "\u00fc \ud83d\ude00 \/" , "code":404 } "#);
        assert_eq!((error.code, error.detail.as_str()), (404, "ü 😀 /"));
        assert_eq!(Error::parse("{}"), Error::default());
        for text in [
            "",
            "plain",
            "{",
            r#"{"id":1}"#,
            r#"{"code":70000}"#,
            r#"{"detail":"\ud83d"}"#,
            "{} x",
            "{\"id\":\"\\uü",
        ] {
            assert_eq!(Error::parse(text), Error { detail: text.to_owned(), ..Error::default() }, "{text}");
        }
    }
}
