//! A call as HTTP, and an answer as a reply or Micro's error.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use micro_api::{Error, Namespace};
use micro_capability::http::Posted;
use micro_runtime::{Codec, Context};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::dispatch::Message;
use crate::headers;

/// Most characters of a text from elsewhere that an error passes on.
const DETAIL_CHARS_MAX: usize = 1_000;

/// Headers that are the connection's, the platform's or a credential: none of metadata's.
const NOT_METADATA: [&str; 9] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "accept-encoding",
    "authorization",
    "cookie",
    "te",
    "expect",
];

/// What a part of a path keeps as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

/// `Greeter.Hello` is `/Greeter/Hello`.
pub(super) fn path(endpoint: &str) -> String {
    let part = |text: &str| match text {
        "." | ".." => text.replace('.', "%2E"),
        text => utf8_percent_encode(text, PLAIN).to_string(),
    };
    match endpoint.rsplit_once('.') {
        Some((service, method)) => format!("/{}/{}", part(service), part(method)),
        None => format!("/{}", part(endpoint)),
    }
}

/// The metadata of the call, and what the platform says of it.
pub(super) fn headers(namespace: &Namespace, codec: Codec, context: &Context) -> HeaderMap {
    let mut all = HeaderMap::new();
    for (name, value) in &context.metadata {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) else {
            continue;
        };
        if !NOT_METADATA.contains(&name.as_str()) {
            all.append(name, value);
        }
    }
    headers::strip_hop_by_hop(&mut all);
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            all.insert(HeaderName::from_static(name), value);
        }
    };
    set("connect-protocol-version", "1");
    set("connect-timeout-ms", &context.left().as_millis().to_string());
    set("micro-namespace", namespace.as_str());
    set("micro-id", &context.request_id);
    set("traceparent", &context.traceparent);
    all.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(codec)));
    if let Some(account) = &context.account {
        headers::set_account(&mut all, account);
    }
    all
}

/// The same for a call that streams.
pub(super) fn stream_headers(namespace: &Namespace, codec: Codec, context: &Context) -> HeaderMap {
    let mut all = headers(namespace, codec, context);
    // Neither side compresses.
    for name in ["connect-content-encoding", "connect-accept-encoding"] {
        all.remove(name);
    }
    all.insert(CONTENT_TYPE, HeaderValue::from_static(stream_content_type(codec)));
    all
}

pub(super) fn stream_content_type(codec: Codec) -> &'static str {
    match codec {
        Codec::Json => "application/connect+json",
        Codec::Protobuf => "application/connect+proto",
    }
}

fn content_type(codec: Codec) -> &'static str {
    match codec {
        Codec::Json => "application/json",
        Codec::Protobuf => "application/proto",
    }
}

/// 200 is the reply; anything else the service's own error.
pub(super) fn reply(id: &str, codec: Codec, posted: Posted) -> Result<Message, Error> {
    let status = posted.status.as_u16();
    if status != 200 {
        return Err(error(id, status, &posted.body));
    }
    let said = posted.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = said.split(';').next().unwrap_or_default().trim();
    // Nothing said, or nothing to say: what was asked for.
    if !(said.is_empty() || said == content_type(codec) || posted.body.is_empty()) {
        let wanted = content_type(codec);
        return Err(Error::new(id, 502, format!("{id} runs elsewhere: it answered {said:?}, not {wanted}")));
    }
    if codec == Codec::Json && !posted.body.is_empty() {
        let parsed = serde_json::from_slice::<serde::de::IgnoredAny>(&posted.body);
        parsed.map_err(|_| Error::new(id, 502, format!("{id} runs elsewhere: its answer is no JSON")))?;
    }
    Ok(Message { codec, bytes: posted.body })
}

/// Micro's object as it is; Connect's `{code, message}` by its status; any other body is not passed on.
pub(super) fn error(id: &str, status: u16, body: &[u8]) -> Error {
    let object: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let text = |key: &str| {
        let text = object.get(key).and_then(Value::as_str)?;
        Some(text.chars().take(DETAIL_CHARS_MAX).collect::<String>())
    };
    // Informational and redirecting answers are no errors of a call.
    let code = if (400..=599).contains(&status) { status } else { 502 };
    if let Some(detail) = text("detail") {
        let own = object.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        let code = own.filter(|code| (400..=599).contains(code)).unwrap_or(code);
        return Error::new(text("id").unwrap_or_else(|| id.to_owned()), code, detail);
    }
    let detail = text("message").unwrap_or_else(|| format!("it answered with status {status}"));
    Error::new(id, code, detail)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use http::StatusCode;
    use micro_capability::Account;

    use super::*;

    fn posted(status: u16, kind: &'static str, body: &'static str) -> Posted {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        Posted { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() }
    }

    #[test]
    fn an_endpoint_is_a_path_that_nothing_can_leave() {
        for (endpoint, wanted) in [
            ("Greeter.Hello", "/Greeter/Hello"),
            ("acme.v1.Greeter.Hello", "/acme.v1.Greeter/Hello"),
            ("Hello", "/Hello"),
            ("...x", "/%2E%2E/x"),
            ("My_Service.Get-It", "/My_Service/Get-It"),
            ("A.b/../../admin?x#y\r\nz", "/A.b%2F..%2F./%2Fadmin%3Fx%23y%0D%0Az"),
        ] {
            assert_eq!(path(endpoint), wanted, "{endpoint}");
        }
    }

    #[test]
    fn metadata_goes_along_and_credentials_do_not() {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let context = Context {
            account: Some(Account {
                id: "jane".to_owned(),
                kind: "user".to_owned(),
                issuer: "acme".to_owned(),
                scopes: Vec::new(),
            }),
            metadata: [
                ("X-Mine", "1"),
                ("Authorization", "Bearer secret"),
                ("Cookie", "a=b"),
                ("Host", "evil"),
                ("Connection", "x-hop"),
                ("X-Hop", "1"),
                ("bad name", "1"),
                ("x-bad", "a\nb"),
                ("Micro-From-Service", "orders"),
            ]
            .map(pair)
            .to_vec(),
            deadline: Instant::now(),
            traceparent: "00-1".to_owned(),
            request_id: "r1".to_owned(),
        };
        let headers = headers(&"acme".parse().unwrap(), Codec::Json, &context);
        for (name, wanted) in [
            ("x-mine", Some("1")),
            ("authorization", None),
            ("cookie", None),
            ("host", None),
            ("x-hop", None),
            ("x-bad", None),
            ("micro-from-service", Some("orders")),
            ("micro-account-id", Some("jane")),
            ("micro-namespace", Some("acme")),
            ("content-type", Some("application/json")),
            ("connect-timeout-ms", Some("0")),
        ] {
            assert_eq!(headers.get(name).map(|value| value.to_str().unwrap()), wanted, "{name}");
        }
    }

    #[test]
    fn answers_are_replies_or_micros_errors() {
        let json = |posted| reply("legacy", Codec::Json, posted);
        assert_eq!(json(posted(200, "application/json; charset=utf-8", "{}")).unwrap().bytes, "{}");
        assert_eq!(json(posted(200, "", "{}")).unwrap().bytes, "{}");
        assert_eq!(json(posted(200, "text/html", "<p>")).unwrap_err().code, 502);
        assert_eq!(json(posted(200, "application/json", "{")).unwrap_err().code, 502);
        let own = json(posted(400, "", r#"{"id": "other", "code": 409, "detail": "taken"}"#)).unwrap_err();
        assert_eq!((own.id.as_str(), own.code, own.detail.as_str()), ("other", 409, "taken"));
        let connect =
            json(posted(404, "", r#"{"code": "not_found", "message": "no such greeting"}"#)).unwrap_err();
        assert_eq!((connect.code, connect.detail.as_str()), (404, "no such greeting"));
        let odd = json(posted(302, "text/html", "<p>secret</p>")).unwrap_err();
        assert_eq!((odd.code, odd.detail.as_str()), (502, "it answered with status 302"));
        let long = Box::leak(format!(r#"{{"detail": "{}"}}"#, "x".repeat(5_000)).into_boxed_str());
        assert_eq!(json(posted(500, "", long)).unwrap_err().detail.len(), DETAIL_CHARS_MAX);
    }
}
