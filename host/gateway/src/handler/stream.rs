//! Endpoints that stream, by HTTP.
//!
//! A POST of `application/connect+json` or `application/connect+proto` is a stream of the Connect protocol: envelopes both
//! ways, status 200, and an error in the last envelope. Any other request is one message, or lines of JSON where its type
//! is `application/x-ndjson` and the endpoint takes a stream; its answer is lines of JSON, or events where the client
//! accepts `text/event-stream`, and an ordinary answer where the endpoint replies once. An error before the first of them
//! is an ordinary error.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{self, HeaderMap};
use http::{Method, Response, request::Parts};
use micro_api::Error;
use micro_capability::client::Replies;
use micro_runtime::{Body, Codec, Context};

use super::{codec_of, rpc};
use crate::admit::Admitted;
use crate::authorize::Authorized;
use crate::body::Inbound;
use crate::dispatch::{self, Choice, Incoming, Message};
use crate::place::GATEWAY;
use crate::resolve::Fields;
use crate::respond;
use crate::{Entry, Gateway};

const CONNECT_JSON: &str = "application/connect+json";
const CONNECT_PROTO: &str = "application/connect+proto";
const NDJSON: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

/// How a request to an endpoint that streams is to be read and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Envelopes both ways.
    Connect(Codec),
    /// One message, or lines.
    Plain,
}

impl Form {
    /// None where the endpoint does not stream.
    ///
    /// # Errors
    /// 415 for envelopes to an endpoint that does not stream, 405 where they are no POST.
    pub(crate) fn of(authorized: &Authorized, parts: &Parts) -> Result<Option<Self>, Error> {
        let (entry, endpoint) = (&authorized.entry, authorized.endpoint.as_str());
        let streams = entry.streams(endpoint);
        match connect_codec(&parts.headers) {
            None => Ok(streams.known().then_some(Self::Plain)),
            Some(_) if !streams.possible() => {
                let detail = format!(
                    "endpoint `{endpoint}` does not stream: send its message as application/json or \
                     application/protobuf"
                );
                Err(Error::new(entry.error_id(), 415, detail))
            }
            Some(_) if parts.method != Method::POST => Err(Error::new(GATEWAY, 405, "a stream is a POST")),
            Some(codec) => Ok(Some(Self::Connect(codec))),
        }
    }
}

/// What a request to an endpoint that streams asks for.
pub(crate) struct Asked<'a> {
    pub(crate) form: Form,
    pub(crate) parts: &'a Parts,
    pub(crate) fields: Fields,
    pub(crate) body: Inbound,
}

impl Gateway {
    /// Answers a request to an endpoint that streams. The answer's body is the call: it ends with it.
    pub(crate) async fn stream(
        &self,
        asked: Asked<'_>,
        right: (&Authorized, &Admitted),
        id: &str,
    ) -> Result<Response<Body>, Error> {
        let (authorized, time) = (right.0, self.stream_time(&asked.parts.headers));
        let Asked { form, parts, fields, body } = asked;
        let entry = &authorized.entry;
        let streams = entry.streams(&authorized.endpoint);
        let bytes_max = self.message_bytes_max(entry);
        if let Form::Connect(codec) = form {
            let messages = read::envelopes(body, bytes_max);
            let incoming = if streams.takes == Some(false) {
                let only = tokio::time::timeout(self.config.message_time_max, read::only(messages)).await;
                let only = only.unwrap_or_else(|_| {
                    Err(Error::timeout(GATEWAY, "limit: body time: no whole request came in time"))
                });
                only.map(|bytes| Incoming::One(Message { codec, bytes }))
            } else {
                Ok(Incoming::Many { codec, messages })
            };
            let context = self.context(right, parts, id, time);
            let replies = match incoming {
                Ok(incoming) => self.begin(authorized, incoming, codec, context).await,
                Err(error) => Err(error),
            };
            return Ok(write::connect(replies, codec));
        }
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_lines = content_type.is_some_and(|text| essence(text).eq_ignore_ascii_case(NDJSON));
        let incoming = if is_lines && streams.takes == Some(true) {
            Incoming::Many { codec: Codec::Json, messages: read::lines(body, bytes_max) }
        } else {
            let bytes = self.message(body, entry).await?;
            Incoming::One(rpc::message(entry, &authorized.endpoint, parts, fields, bytes, content_type)?)
        };
        let context = self.context(right, parts, id, time);
        if streams.replies == Some(true) {
            let replies = self.begin(authorized, incoming, Codec::Json, context).await?;
            return write::plain(replies, accepts(&parts.headers, EVENTS)).await;
        }
        let codec = content_type.map_or(Codec::Json, codec_of);
        let replies = self.begin(authorized, incoming, codec, context).await?;
        let bytes = only_reply(replies, authorized).await?;
        Ok(rpc::answer(Message { codec, bytes }, content_type))
    }

    /// The same for `/rpc`, where the one message stands in the body: envelopes of JSON where the client accepts them.
    /// An error before the first reply is an ordinary error there too.
    pub(crate) async fn stream_rpc(
        &self,
        authorized: &Authorized,
        request: Bytes,
        headers: &HeaderMap,
        context: Context,
    ) -> Result<Response<Body>, Error> {
        let incoming = Incoming::One(Message { codec: Codec::Json, bytes: request });
        let replies = self.begin(authorized, incoming, Codec::Json, context).await?;
        if accepts(headers, CONNECT_JSON) {
            return Ok(write::connect(Ok(write::begun(replies).await?), Codec::Json));
        }
        if authorized.entry.streams(&authorized.endpoint).replies == Some(true) {
            return write::plain(replies, accepts(headers, EVENTS)).await;
        }
        let bytes = only_reply(replies, authorized).await?;
        Ok(respond::json(http::StatusCode::OK, write::object(bytes)))
    }

    async fn begin(
        &self,
        authorized: &Authorized,
        incoming: Incoming,
        wanted: Codec,
        context: Context,
    ) -> Result<Replies, Error> {
        dispatch::stream(&self.runtime, authorized, incoming, wanted, context, &Choice::default()).await
    }

    /// How long a stream may last: as the client of the Connect protocol says, within the gateway's bound.
    fn stream_time(&self, headers: &HeaderMap) -> Duration {
        let asked = headers.get("connect-timeout-ms").and_then(|value| value.to_str().ok()?.parse().ok());
        let max = self.config.http_time_max;
        asked.map_or(max, |ms: u64| Duration::from_millis(ms).min(max))
    }
}

/// The reply of an endpoint that replies once.
async fn only_reply(mut replies: Replies, authorized: &Authorized) -> Result<Bytes, Error> {
    let none = || Err(Error::new(authorized.entry.error_id(), 502, "the service ended without a reply"));
    replies.next().await.unwrap_or_else(none)
}

/// Whether `/rpc` answers a call with a stream.
pub(crate) fn is_streamed_rpc(authorized: &Authorized, headers: &HeaderMap) -> bool {
    let streams = authorized.entry.streams(&authorized.endpoint);
    streams.known() || (streams.possible() && accepts(headers, CONNECT_JSON))
}

/// Whether the answer to a request may be a stream, and is to be looked after until its end.
pub(crate) fn may_stream(entry: &Entry, endpoint: &str, headers: &HeaderMap) -> bool {
    connect_codec(headers).is_some() || entry.streams(endpoint).known()
}

/// The codec of the envelopes that a request has.
fn connect_codec(headers: &HeaderMap) -> Option<Codec> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = essence(text);
    if essence.eq_ignore_ascii_case(CONNECT_JSON) {
        Some(Codec::Json)
    } else if essence.eq_ignore_ascii_case(CONNECT_PROTO) {
        Some(Codec::Protobuf)
    } else {
        None
    }
}

fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Whether the client names `wanted` among the types that it accepts.
fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let lists = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|one| essence(one).eq_ignore_ascii_case(wanted))
}
