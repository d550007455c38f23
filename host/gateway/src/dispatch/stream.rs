//! One call of an endpoint that streams, from a routed entry to its replies.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, future};
use micro_api::Error;
use micro_capability::client::Replies;
use micro_runtime::{Call, Codec, Context, Requests, Runtime, StreamCall};

use super::{Choice, Message, check_endpoint, from_guest, to_guest};
use crate::authorize::Authorized;
use crate::snapshot::{Entry, Target};

/// What a caller sends.
pub(crate) enum Incoming {
    /// One message; the only one of an endpoint that takes a stream.
    One(Message),
    /// A stream of messages of one codec.
    Many { codec: Codec, messages: Requests },
}

impl Incoming {
    fn codec(&self) -> Codec {
        match self {
            Self::One(message) => message.codec,
            Self::Many { codec, .. } => *codec,
        }
    }
}

/// Begins the call that was authorized; each reply comes in codec `wanted`, and an error is the last item. Dropping the
/// replies cancels the call. Where the entry does not say in which directions the endpoint streams, what `incoming` is
/// decides, and any number of replies may come.
pub(crate) async fn stream(
    runtime: &Runtime,
    authorized: &Authorized,
    incoming: Incoming,
    wanted: Codec,
    context: Context,
    choice: &Choice,
) -> Result<Replies, Error> {
    check_endpoint(authorized)?;
    let (entry, endpoint) = (&authorized.entry, authorized.endpoint.as_str());
    choice.check(entry)?;
    let streams = entry.streams(endpoint);
    let takes = streams.takes.unwrap_or(matches!(incoming, Incoming::Many { .. }));
    let codec = spoken(entry, incoming.codec());
    let (request, requests) = match (takes, incoming) {
        (true, Incoming::One(message)) => {
            let message = to_guest(entry, endpoint, message)?.bytes;
            (Bytes::new(), Some(Box::pin(futures::stream::iter([Ok(message)])) as Requests))
        }
        (true, Incoming::Many { codec, messages }) => {
            (Bytes::new(), Some(translated(entry, endpoint, codec, messages)))
        }
        (false, Incoming::One(message)) => (to_guest(entry, endpoint, message)?.bytes, None),
        (false, Incoming::Many { .. }) => {
            let detail = format!("endpoint `{endpoint}` takes one message, not a stream");
            return Err(Error::bad_request(entry.error_id(), detail));
        }
    };
    let (id, request_id) = (entry.error_id(), context.request_id.clone());
    let replies: Replies = match &entry.target {
        Target::Revision(revision) => {
            let call = Call { endpoint: endpoint.to_owned(), codec, request, context };
            let replies_stream = streams.replies.unwrap_or(true);
            let call = StreamCall { call, requests, replies_stream };
            let begun = runtime.stream(revision, call).await;
            let replies = begun.map_err(|fault| fault.error(&id, &request_id))?;
            Box::pin(replies.map(move |reply| reply.map_err(|fault| fault.error(&id, &request_id))))
        }
        Target::External(external) => {
            let requests = requests.unwrap_or_else(|| Box::pin(futures::stream::iter([Ok(request)])));
            external.stream(endpoint, codec, requests, context, choice)
        }
    };
    Ok(answered(entry, endpoint, codec, wanted, replies))
}

/// The codec that the guest gets messages in.
fn spoken(entry: &Entry, codec: Codec) -> Codec {
    match codec {
        _ if entry.takes(codec) => codec,
        Codec::Json => Codec::Protobuf,
        Codec::Protobuf => Codec::Json,
    }
}

fn translated(entry: &Arc<Entry>, endpoint: &str, codec: Codec, messages: Requests) -> Requests {
    if entry.takes(codec) {
        return messages;
    }
    let (entry, endpoint) = (Arc::clone(entry), endpoint.to_owned());
    Box::pin(messages.map(move |bytes| -> Result<Bytes, Error> {
        let message = Message { codec, bytes: bytes? };
        Ok(to_guest(&entry, &endpoint, message)?.bytes)
    }))
}

fn answered(entry: &Arc<Entry>, endpoint: &str, codec: Codec, wanted: Codec, replies: Replies) -> Replies {
    if codec == wanted {
        return replies;
    }
    let (entry, endpoint) = (Arc::clone(entry), endpoint.to_owned());
    let translated = replies.map(move |reply| -> Result<Bytes, Error> {
        let message = Message { codec, bytes: reply? };
        Ok(from_guest(&entry, &endpoint, message, wanted)?.bytes)
    });
    // A reply that cannot be translated is the last item too.
    Box::pin(translated.scan(false, |failed, reply: Result<Bytes, Error>| {
        let last = std::mem::replace(failed, reply.is_err());
        future::ready((!last).then_some(reply))
    }))
}
