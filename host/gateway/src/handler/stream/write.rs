//! Replies as the body of an answer.

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use micro_api::Error;
use micro_capability::client::Replies;
use micro_runtime::{Body, BoxError, Codec};

use super::{CONNECT_JSON, CONNECT_PROTO, EVENTS, NDJSON};
use crate::envelope;
use crate::respond;

/// How one reply, or the error that is the last one, is written.
type Encode = fn(Result<Bytes, Error>) -> Bytes;

/// Envelopes, whatever came of the call.
pub(super) fn connect(replies: Result<Replies, Error>, codec: Codec) -> Response<Body> {
    let (content_type, encode) = match codec {
        Codec::Json => (CONNECT_JSON, json_envelope as Encode),
        Codec::Protobuf => (CONNECT_PROTO, envelope as Encode),
    };
    let replies = replies.unwrap_or_else(|error| Box::pin(futures::stream::iter([Err(error)])));
    answer(content_type, body(replies, encode, envelope::end(None)))
}

/// Lines of JSON, or events.
///
/// # Errors
/// What the call ended with before its first reply.
pub(super) async fn plain(replies: Replies, events: bool) -> Result<Response<Body>, Error> {
    let replies = begun(replies).await?;
    if !events {
        return Ok(answer(NDJSON, body(replies, line, Bytes::new())));
    }
    let mut response = answer(EVENTS, body(replies, event, Bytes::new()));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// The same replies once there is a first one.
///
/// # Errors
/// What the call ended with before that.
pub(super) async fn begun(mut replies: Replies) -> Result<Replies, Error> {
    match replies.next().await.transpose()? {
        None => Ok(Box::pin(futures::stream::empty())),
        Some(first) => Ok(Box::pin(futures::stream::iter([Ok(first)]).chain(replies))),
    }
}

/// A message of no bytes as JSON.
pub(super) fn object(message: Bytes) -> Bytes {
    if message.is_empty() { Bytes::from_static(b"{}") } else { message }
}

fn envelope(reply: Result<Bytes, Error>) -> Bytes {
    match reply {
        Ok(message) => envelope::message(&message),
        Err(error) => envelope::end(Some(&error)),
    }
}

fn json_envelope(reply: Result<Bytes, Error>) -> Bytes {
    envelope(reply.map(object))
}

fn line(reply: Result<Bytes, Error>) -> Bytes {
    match reply {
        Ok(message) => one_line(b"", &object(message), b"\n"),
        Err(error) => Bytes::from(format!("{{\"error\":{}}}\n", error.to_json())),
    }
}

fn event(reply: Result<Bytes, Error>) -> Bytes {
    match reply {
        Ok(message) => one_line(b"data: ", &object(message), b"\n\n"),
        Err(error) => Bytes::from(format!("event: error\ndata: {}\n\n", error.to_json())),
    }
}

/// In JSON an end of a line is a space between two parts, so none of a service's messages can end its own line.
fn one_line(before: &[u8], message: &[u8], after: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(before.len() + message.len() + after.len());
    out.put_slice(before);
    out.extend(message.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    out.put_slice(after);
    out.freeze()
}

/// Each reply as `encode` writes it; `end` follows the last one, unless that is an error.
fn body(replies: Replies, encode: Encode, end: Bytes) -> Body {
    let parts = futures::stream::unfold(Some((replies, end)), move |state| async move {
        let (mut replies, end) = state?;
        match replies.next().await {
            Some(Ok(message)) => Some((encode(Ok(message)), Some((replies, end)))),
            Some(Err(error)) => Some((encode(Err(error)), None)),
            None => (!end.is_empty()).then_some((end, None)),
        }
    });
    StreamBody::new(parts.map(|bytes| Ok::<_, BoxError>(Frame::data(bytes)))).boxed_unsync()
}

fn answer(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = respond::empty(StatusCode::OK).map(|_| body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
