//! `/rpc`: one address for every endpoint (GW and control), `{"service","endpoint","request"}`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use micro_api::name::{Namespace, ServiceName};
use micro_api::{Error, ServiceKey};
use micro_runtime::{Body, Codec, Context, Runtime};
use serde_json::Value;

use crate::authorize::Authorized;
use crate::dispatch::{self, Failed, Message};
use crate::respond;
use crate::snapshot::{Entry, Snapshot};
use crate::transcode;

/// Id of this endpoint's own errors, as in Micro.
pub(crate) const RPC: &str = "go.micro.rpc";
/// A reply of no bytes.
const EMPTY_OBJECT: &[u8] = b"{}";

/// Refuses what is not a POST, with Micro's text.
pub(crate) fn check_method(method: &Method) -> Option<Response<Body>> {
    (method != Method::POST).then(|| respond::text(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"))
}

/// The caller's `Timeout` header: whole seconds, at most `max`.
pub(crate) fn timeout(headers: &HeaderMap, max: Duration) -> Duration {
    let seconds = headers.get("timeout").and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.filter(|seconds| *seconds > 0).map_or(max, |seconds| Duration::from_secs(seconds).min(max))
}

/// An error of the gateway in this endpoint's name.
pub(crate) fn own(error: Error) -> Error {
    Error { id: RPC.to_owned(), ..error }
}

/// Answers one call with the reply's JSON.
pub(crate) async fn handle(
    runtime: &Runtime,
    authorized: &Authorized,
    request: Bytes,
    context: Context,
) -> Result<Response<Body>, Error> {
    let message = Message { codec: Codec::Json, bytes: request };
    let called = dispatch::call(runtime, authorized, message, Codec::Json, context).await;
    let reply = called.map_err(failure)?;
    let bytes = if reply.bytes.is_empty() { Bytes::from_static(EMPTY_OBJECT) } else { reply.bytes };
    Ok(respond::json(StatusCode::OK, bytes))
}

/// The entry that a call names.
pub(crate) fn find<'a>(
    snapshot: &'a Snapshot,
    namespace: &Namespace,
    call: &RpcCall,
    sees: &dyn Fn(&str) -> bool,
) -> Result<&'a Arc<Entry>, Error> {
    let name: ServiceName = call.service.parse().map_err(|_| Error::bad_request(RPC, "invalid service"))?;
    let key = ServiceKey { namespace: namespace.clone(), name };
    let found = snapshot.find(&key, call.version.as_deref());
    found.ok_or_else(|| snapshot.not_found(&call.service, namespace, &key.name.to_string(), sees))
}

/// A service's error as it is; one that has no code with Micro's words before it.
fn failure(failed: Failed) -> Error {
    if failed.has_code {
        failed.error
    } else {
        Error::internal(RPC, format!("error during request: {}", failed.error.detail))
    }
}

#[derive(Debug, PartialEq)]
pub(crate) struct RpcCall {
    service: String,
    pub(crate) endpoint: String,
    version: Option<String>,
    pub(crate) request: Bytes,
}

/// A form or a JSON object with the same fields; `method` is an older name of `endpoint`, `request` an object or its
/// text.
pub(crate) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<RpcCall, Error> {
    let bad = |detail: String| Error::bad_request(RPC, detail);
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let fields = if content_type.starts_with(b"application/x-www-form-urlencoded") {
        transcode::nest_flat(transcode::form_fields(body))
    } else {
        transcode::parse_object(body).map_err(bad)?
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let service = text("service").ok_or_else(|| bad("invalid service".to_owned()))?;
    let endpoint =
        text("endpoint").or_else(|| text("method")).ok_or_else(|| bad("invalid endpoint".to_owned()))?;
    if text("address").is_some() {
        return Err(Error::forbidden(RPC, "address: calls go to services of this platform only"));
    }
    let request = match fields.get("request") {
        None | Some(Value::Null) => Bytes::from_static(EMPTY_OBJECT),
        Some(Value::String(text)) if text.is_empty() => Bytes::from_static(EMPTY_OBJECT),
        Some(Value::String(text)) => {
            serde_json::from_str::<Value>(text)
                .map_err(|error| bad(format!("error decoding request string: {error}")))?;
            Bytes::copy_from_slice(text.as_bytes())
        }
        Some(other) => serde_json::to_vec(other).map_err(|error| bad(error.to_string()))?.into(),
    };
    let version = text("version").map(str::to_owned);
    Ok(RpcCall { service: service.to_owned(), endpoint: endpoint.to_owned(), version, request })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_as(content_type: &'static str, body: &str) -> Result<RpcCall, Error> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())]);
        parse(&headers, body.as_bytes())
    }

    #[test]
    fn forms_and_json_say_the_same() {
        let form = "service=go.micro.srv.greeter&method=Say.Hello&request=%7B%22name%22%3A%20%22John%22%7D";
        let form = parse_as("application/x-www-form-urlencoded", form).unwrap();
        assert_eq!((form.service.as_str(), form.endpoint.as_str()), ("go.micro.srv.greeter", "Say.Hello"));
        assert_eq!(form.request, r#"{"name": "John"}"#);
        let json = r#"{"service":"go.micro.srv.greeter","endpoint":"Say.Hello","request":{"name":"John"}}"#;
        let json = parse_as("application/json", json).unwrap();
        assert_eq!((json.request, json.version), (Bytes::from(r#"{"name":"John"}"#), None));
    }

    #[test]
    fn errors_have_micros_texts() {
        for (body, detail) in [
            ("{}", "invalid service"),
            (r#"{"service":"x"}"#, "invalid endpoint"),
            (r#"{"service":"x","endpoint":"A.B","request":"{"}"#, "error decoding request string: "),
        ] {
            let error = parse_as("application/json", body).unwrap_err();
            assert_eq!((error.id.as_str(), error.code, error.status.as_str()), (RPC, 400, "Bad Request"));
            assert!(error.detail.starts_with(detail), "{}", error.detail);
        }
        let ssrf = r#"{"service":"x","endpoint":"A.B","address":"169.254.169.254:80"}"#;
        assert_eq!(parse_as("application/json", ssrf).unwrap_err().code, 403);
        assert_eq!(check_method(&Method::GET).unwrap().status(), 405);
    }

    #[test]
    fn the_timeout_header_only_lowers() {
        let five = Duration::from_secs(5);
        let with = |text: &str| {
            timeout(&HeaderMap::from_iter([("timeout".parse().unwrap(), text.parse().unwrap())]), five)
        };
        assert_eq!((with("2"), with("60"), with("0"), with("x")), (Duration::from_secs(2), five, five, five));
    }
}
