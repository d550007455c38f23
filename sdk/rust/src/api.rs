//! The messages of Micro's `api` handler (package `go.api`): a service of type api gets a whole HTTP request as one
//! message and answers with a whole response. In `.proto` files: `import "micro/api.proto"`.

use std::collections::HashMap;

/// A header, query or form field with all its values.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Pair {
    /// The field's name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its values in the order they came.
    #[prost(string, repeated, tag = "2")]
    pub values: Vec<String>,
}

/// An HTTP request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// `GET`, `POST` and so on.
    #[prost(string, tag = "1")]
    pub method: String,
    /// The path as sent.
    #[prost(string, tag = "2")]
    pub path: String,
    /// The headers.
    #[prost(map = "string, message", tag = "3")]
    pub header: HashMap<String, Pair>,
    /// The query.
    #[prost(map = "string, message", tag = "4")]
    pub get: HashMap<String, Pair>,
    /// The fields of a form; the body is empty then.
    #[prost(map = "string, message", tag = "5")]
    pub post: HashMap<String, Pair>,
    /// The body.
    #[prost(string, tag = "6")]
    pub body: String,
    /// The whole URL.
    #[prost(string, tag = "7")]
    pub url: String,
}

/// An HTTP response.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Response {
    /// The status; 0 is 200.
    #[prost(int32, tag = "1")]
    pub status_code: i32,
    /// The headers; without a `Content-Type` it is `application/json`.
    #[prost(map = "string, message", tag = "2")]
    pub header: HashMap<String, Pair>,
    /// The body.
    #[prost(string, tag = "3")]
    pub body: String,
}

impl Request {
    /// The first value of a query field, else of a form field.
    pub fn param(&self, name: &str) -> Option<&str> {
        let pair = self.get.get(name).or_else(|| self.post.get(name))?;
        pair.values.first().map(String::as_str)
    }

    /// The first value of a header; its case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, pair) = self.header.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        pair.values.first().map(String::as_str)
    }
}

impl Response {
    /// A response with a JSON body.
    pub fn json(status_code: u16, body: impl Into<String>) -> Self {
        Self { status_code: status_code.into(), header: HashMap::new(), body: body.into() }
    }

    /// The same response with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        let pair = self.header.entry(name.clone()).or_insert_with(|| Pair { key: name, values: Vec::new() });
        pair.values.push(value.into());
        self
    }
}
