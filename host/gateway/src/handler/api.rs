//! Handler `api`: the whole HTTP request as one message (`go.api.Request`), the reply as a whole HTTP response.

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use micro_api::Error;
use micro_runtime::{Body, Codec, Context, Runtime};
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::authorize::Authorized;
use crate::dispatch::{self, Message};
use crate::respond;
use crate::transcode;

/// The request message that makes an endpoint one of this handler.
pub(crate) const REQUEST_MESSAGE: &str = "go.api.Request";

/// A header, query or form field with all its values.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
pub(crate) struct Pair {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, repeated, tag = "2")]
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize)]
struct ApiRequest {
    #[prost(string, tag = "1")]
    method: String,
    #[prost(string, tag = "2")]
    path: String,
    #[prost(map = "string, message", tag = "3")]
    header: HashMap<String, Pair>,
    #[prost(map = "string, message", tag = "4")]
    get: HashMap<String, Pair>,
    #[prost(map = "string, message", tag = "5")]
    post: HashMap<String, Pair>,
    #[prost(string, tag = "6")]
    body: String,
    #[prost(string, tag = "7")]
    url: String,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
struct ApiResponse {
    #[prost(int32, tag = "1")]
    #[serde(alias = "status_code", rename = "statusCode")]
    status_code: i32,
    #[prost(map = "string, message", tag = "2")]
    header: HashMap<String, Pair>,
    #[prost(string, tag = "3")]
    body: String,
}

/// Answers one request with what the service made of it.
pub(crate) async fn handle(
    runtime: &Runtime,
    authorized: &Authorized,
    parts: &Parts,
    host: &str,
    body: Bytes,
    context: Context,
) -> Result<Response<Body>, Error> {
    let entry = &authorized.entry;
    let request = request(parts, host, &body);
    let bad = |detail: String| Error::new(entry.error_id(), 502, format!("the service's reply: {detail}"));
    let codec = if entry.takes(Codec::Protobuf) { Codec::Protobuf } else { Codec::Json };
    let bytes = match codec {
        Codec::Protobuf => request.encode_to_vec(),
        Codec::Json => serde_json::to_vec(&request).map_err(|error| bad(error.to_string()))?,
    };
    let message = Message { codec, bytes: bytes.into() };
    let reply = dispatch::call(runtime, authorized, message, codec, context).await?;
    let reply = match codec {
        Codec::Protobuf => ApiResponse::decode(reply.bytes).map_err(|error| bad(error.to_string()))?,
        Codec::Json => serde_json::from_slice(&reply.bytes).map_err(|error| bad(error.to_string()))?,
    };
    response(reply).map_err(bad)
}

fn request(parts: &Parts, host: &str, body: &[u8]) -> ApiRequest {
    let mut header: HashMap<String, Pair> = HashMap::new();
    for (name, value) in &parts.headers {
        push(&mut header, canonical(name.as_str()), String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    header.insert("Host".to_owned(), Pair { key: "Host".to_owned(), values: vec![host.to_owned()] });
    if !parts.headers.contains_key(header::CONTENT_TYPE) {
        push(&mut header, "Content-Type".to_owned(), "text/plain".to_owned());
    }
    let content_type = parts.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let form = content_type.starts_with(b"application/x-www-form-urlencoded");
    let pairs = |text: &[u8]| {
        let mut pairs = HashMap::new();
        for (key, value) in transcode::form_fields(text) {
            push(&mut pairs, key, value);
        }
        pairs
    };
    ApiRequest {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        header,
        get: pairs(parts.uri.query().unwrap_or_default().as_bytes()),
        post: if form { pairs(body) } else { HashMap::new() },
        body: if form { String::new() } else { String::from_utf8_lossy(body).into_owned() },
        url: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
    }
}

fn push(pairs: &mut HashMap<String, Pair>, key: String, value: String) {
    let pair = pairs.entry(key.clone()).or_insert_with(|| Pair { key, values: Vec::new() });
    pair.values.push(value);
}

/// `content-type` as Go spells it, `Content-Type`: what services of this handler look up.
fn canonical(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
            .unwrap_or_default()
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// A status or header that HTTP forbids is the service's mistake.
fn response(reply: ApiResponse) -> Result<Response<Body>, String> {
    let code = if reply.status_code == 0 { 200 } else { reply.status_code };
    let status = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.filter(|status| (200..600).contains(&status.as_u16()));
    let status = status.ok_or_else(|| format!("{code} is no status for an answer"))?;
    let mut response = Response::new(respond::full(reply.body));
    *response.status_mut() = status;
    for (key, pair) in reply.header {
        let name: HeaderName = key.parse().map_err(|_| format!("`{key}` is no header name"))?;
        for value in pair.values {
            let value = HeaderValue::from_str(&value).map_err(|_| format!("bad value of header `{key}`"))?;
            response.headers_mut().append(name.clone(), value);
        }
    }
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().entry(header::CONTENT_TYPE).or_insert(json);
    response.headers_mut().remove(header::CONTENT_LENGTH);
    crate::headers::strip_hop_by_hop(response.headers_mut());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_form_goes_into_post_and_leaves_no_body() {
        let given = http::Request::post("/greeter/say/hello?name=John&name=Jane")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .header("x-mine", "1");
        let request = request(&parts(given), "localhost:8080", b"a=1&b=%20");
        assert_eq!(request.get["name"].values, ["John", "Jane"]);
        assert_eq!((request.post["b"].values[0].as_str(), request.body.as_str()), (" ", ""));
        assert_eq!(request.header["X-Mine"].values, ["1"]);
        assert_eq!(request.header["Host"].values, ["localhost:8080"]);
        assert_eq!(
            (request.path.as_str(), request.url.as_str()),
            ("/greeter/say/hello", "/greeter/say/hello?name=John&name=Jane")
        );
        let plain = super::request(&parts(http::Request::post("/x")), "h", b"hi");
        assert_eq!(
            (plain.header["Content-Type"].values[0].as_str(), plain.body.as_str()),
            ("text/plain", "hi")
        );
    }

    #[test]
    fn replies_are_checked() {
        let ok = response(ApiResponse::default()).unwrap();
        assert_eq!(
            (ok.status().as_u16(), ok.headers()["content-type"].as_bytes()),
            (200, &b"application/json"[..])
        );
        for code in [1, 99, 100, 101, 600, 999, -1, 70_000] {
            assert!(response(ApiResponse { status_code: code, ..Default::default() }).is_err(), "{code}");
        }
        for (key, value) in [("bad name", "x"), ("x", "a\r\nb: c")] {
            let pair = Pair { key: key.into(), values: vec![value.into()] };
            let reply = ApiResponse { header: HashMap::from([(key.to_owned(), pair)]), ..Default::default() };
            assert!(response(reply).is_err(), "{key}");
        }
    }
}
