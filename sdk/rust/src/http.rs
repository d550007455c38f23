//! HTTP messages with their whole body, and outbound requests.
//!
//! An outbound host must be granted: `http = ["api.example.com:443"]` under `[grants]` in `micro.toml`.

use std::borrow::Cow;

use crate::Error;

/// The longest body that is read: 10 MiB.
pub const MAX_BODY: usize = 10 << 20;

/// A request: one that came in, or one to send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// Path and query as sent for one that came in, a whole `http` or `https` URL for one to send.
    pub url: String,
    /// Names and values in the order they came.
    pub headers: Vec<(String, String)>,
    /// At most [`MAX_BODY`] bytes.
    pub body: Vec<u8>,
    /// What the parts in braces of the route's pattern matched.
    pub(crate) params: Vec<(String, String)>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), ..Self::default() }
    }

    /// `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// `POST` with a body of this content type.
    pub fn post(url: impl Into<String>, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", url) }.with_header("content-type", content_type)
    }

    /// The same request with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The first value of a header; its case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The URL without its query.
    pub fn path(&self) -> &str {
        self.url.split_once('?').map_or(self.url.as_str(), |(path, _)| path)
    }

    /// The first value of a query field, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.url.split_once('?')?;
        field(query, name)
    }

    /// The first value of a field of a form, decoded; none when the body is no form
    /// (`application/x-www-form-urlencoded`).
    pub fn form(&self, name: &str) -> Option<String> {
        field(self.form_text()?, name)
    }

    /// The body of a form.
    pub(crate) fn form_text(&self) -> Option<&str> {
        let kind = self.header("content-type")?.split(';').next()?.trim();
        let is_form = kind.eq_ignore_ascii_case("application/x-www-form-urlencoded");
        is_form.then_some(())?;
        std::str::from_utf8(&self.body).ok()
    }

    /// The body as text.
    ///
    /// # Errors
    /// 400 when it is no UTF-8.
    pub fn text(&self) -> Result<&str, Error> {
        let text = std::str::from_utf8(&self.body);
        text.map_err(|_| Error::bad_request("go.micro.http", "the body is no UTF-8 text"))
    }

    /// The body as a type of yours, with the feature `json` of this crate.
    ///
    /// # Errors
    /// 400 when the body is no JSON, or JSON of another form; the text says where.
    #[cfg(feature = "json")]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::bad_request("go.micro.http", format!("the body: {error}")))
    }

    /// What a part in braces of the route's pattern matched, decoded.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A response: one to answer with, or one that was received.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names and values in order. `content-length` is added when it is sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A response with a body of this content type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }.with_header("content-type", content_type)
    }

    /// A page.
    pub fn html(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "text/html; charset=utf-8", body)
    }

    /// Plain text.
    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "text/plain; charset=utf-8", body)
    }

    /// A value as JSON, with the feature `json` of this crate.
    ///
    /// # Errors
    /// 500 for what JSON cannot say, such as a map whose keys are no text.
    #[cfg(feature = "json")]
    pub fn of<T: serde::Serialize>(value: &T) -> Result<Self, Error> {
        let text = serde_json::to_vec(value);
        let text = text.map_err(|error| {
            Error::internal_server_error("go.micro.http", format!("an answer is no JSON: {error}"))
        });
        text.map(Self::json)
    }

    /// A JSON text.
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "application/json", body)
    }

    /// Sends the client to another place.
    pub fn redirect(location: &str) -> Self {
        Self { status: 302, ..Self::default() }.with_header("location", location)
    }

    /// The same response with another status code.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same response with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The first value of a header; its case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

/// Micro's error object with its code as the status.
impl From<Error> for Response {
    fn from(error: Error) -> Self {
        let status = if (400..600).contains(&error.code) { error.code } else { 500 };
        Self::json(error.to_string()).with_status(status)
    }
}

/// Sends a request and waits for the whole response.
///
/// # Errors
/// 403 when the host is not granted, 400 for a URL that is none, 502 when the other side fails, 413 for a response
/// longer than [`MAX_BODY`].
pub async fn send(request: Request) -> Result<Response, Error> {
    crate::host::http_send(request).await
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Names and values of a query or a form, as they are written.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let filled = text.split('&').filter(|pair| !pair.is_empty());
    filled.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Decodes a name or value of a query or a form.
pub(crate) fn decode_field(text: &str) -> String {
    decode(&text.replace('+', " ")).into_owned()
}

fn field(text: &str, name: &str) -> Option<String> {
    let (_, value) = pairs(text).find(|(key, _)| decode_field(key) == name)?;
    Some(decode_field(value))
}

/// Decodes `%41`; what is no such escape stays.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let hex = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let request = Request::get("/a/b?name=J%C3%B6rg+M&empty&x=1%2");
        assert_eq!(request.path(), "/a/b");
        assert_eq!(request.query("name").as_deref(), Some("Jörg M"));
        assert_eq!(request.query("empty").as_deref(), Some(""));
        assert_eq!(request.query("x").as_deref(), Some("1%2"));
        assert_eq!(request.query("none"), None);
    }

    #[test]
    fn forms_are_decoded_and_nothing_else_is_one() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let request = Request::post("/", form, "name=J%C3%B6rg+M&&empty=");
        assert_eq!(request.form("name").as_deref(), Some("Jörg M"));
        assert_eq!((request.form("empty").as_deref(), request.form("")), (Some(""), None));
        assert_eq!(Request::post("/", "text/plain", "name=x").form("name"), None);
        assert_eq!(Request::post("/", form, [0xff]).form("name"), None);
        assert_eq!(Request::post("/", "text/plain", [0xff]).text().unwrap_err().code, 400);
        assert_eq!(Request::post("/", "text/plain", "hi").text(), Ok("hi"));
    }

    #[cfg(feature = "json")]
    #[test]
    fn bodies_are_json_both_ways() {
        let request = Request::post("/", "application/json", r#"{"a": [1, 2]}"#);
        let value: std::collections::BTreeMap<String, Vec<u8>> = request.json().unwrap();
        assert_eq!(Response::of(&value).unwrap().body, br#"{"a":[1,2]}"#);
        let error = Request::post("/", "application/json", "{").json::<Vec<u8>>().unwrap_err();
        assert!(error.code == 400 && error.detail.contains("line 1"), "{error}");
        let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert_eq!(Response::of(&keys).unwrap_err().code, 500);
    }

    #[test]
    fn errors_become_responses() {
        let response = Response::from(Error::not_found("page", "no such thing"));
        assert_eq!((response.status, response.header("Content-Type")), (404, Some("application/json")));
        assert_eq!(Response::from(Error::new("page", 0, "?")).status, 500);
    }
}
