//! Handler `rpc`: a JSON or protobuf body, a query, or both, as one message of an endpoint.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use micro_api::Error;
use micro_runtime::{Body, Codec, Context, Runtime};
use serde_json::{Map, Value};

use super::{codec_of, is_form};
use crate::authorize::Authorized;
use crate::dispatch::{self, Message};
use crate::resolve::Fields;
use crate::respond;
use crate::snapshot::Entry;
use crate::transcode;

/// Answers one request: 204 for an empty reply, else 200 in the request's codec.
pub(crate) async fn handle(
    runtime: &Runtime,
    authorized: &Authorized,
    parts: &Parts,
    fields: Fields,
    body: Bytes,
    context: Context,
) -> Result<Response<Body>, Error> {
    let (entry, endpoint) = (&authorized.entry, authorized.endpoint.as_str());
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let codec = content_type.map_or(Codec::Json, codec_of);
    let request = message(entry, endpoint, parts, fields, body, content_type)?;
    let reply = dispatch::call(runtime, authorized, request, codec, context).await?;
    Ok(answer(reply, content_type))
}

/// Query, then path, then body, merged by the schema. A JSON or protobuf body alone is the message as it is.
pub(super) fn message(
    entry: &Entry,
    endpoint: &str,
    parts: &Parts,
    fields: Fields,
    body: Bytes,
    content_type: Option<&str>,
) -> Result<Message, Error> {
    let codec = content_type.map_or(Codec::Json, codec_of);
    let is_form = content_type.is_some_and(is_form);
    let query = parts.uri.query().unwrap_or_default();
    let is_message = query.is_empty()
        && fields == Fields::default()
        && !is_form
        && !body.iter().all(u8::is_ascii_whitespace);
    if codec == Codec::Protobuf || is_message {
        return Ok(Message { codec, bytes: body });
    }
    let bad = |detail: String| Error::bad_request(entry.error_id(), detail);
    let schema = entry.schema()?;
    let input = schema.as_ref().and_then(|schema| schema.method(endpoint)).map(|method| method.input());
    let mut object = transcode::nest(transcode::form_fields(query.as_bytes()), input.as_ref());
    transcode::merge(&mut object, transcode::nest(fields.params, input.as_ref()));
    let given = if is_form {
        transcode::nest(transcode::form_fields(&body), input.as_ref())
    } else if let Some(field) = fields.body {
        Map::from_iter([(field, transcode::parse_value(&body).map_err(bad)?)])
    } else {
        transcode::parse_object(&body).map_err(bad)?
    };
    transcode::merge(&mut object, given);
    // Straight into the guest's codec: the JSON is parsed already.
    if let (Some(input), false) = (&input, entry.takes(Codec::Json)) {
        let bytes = transcode::to_protobuf(input, object).map_err(bad)?;
        return Ok(Message { codec: Codec::Protobuf, bytes });
    }
    let bytes = serde_json::to_vec(&Value::Object(object)).map_err(|error| bad(error.to_string()))?;
    Ok(Message { codec: Codec::Json, bytes: bytes.into() })
}

pub(super) fn answer(reply: Message, content_type: Option<&str>) -> Response<Body> {
    if reply.bytes.is_empty() {
        return respond::empty(StatusCode::NO_CONTENT);
    }
    if reply.codec == Codec::Protobuf {
        let mut response = respond::with_type(StatusCode::OK, "application/protobuf", reply.bytes);
        if let Some(value) = content_type.and_then(|text| HeaderValue::from_str(text).ok()) {
            response.headers_mut().insert(header::CONTENT_TYPE, value);
        }
        return response;
    }
    let json = match content_type.and_then(|text| text.split(';').next()).map(str::trim) {
        Some("application/json-rpc") => "application/json-rpc",
        Some("application/grpc+json") => "application/grpc+json",
        _ => "application/json",
    };
    respond::with_type(StatusCode::OK, json, reply.bytes)
}
