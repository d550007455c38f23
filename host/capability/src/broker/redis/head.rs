//! What stands before a message's body.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::broker::{Error, Message};
use crate::client::Codec;

#[derive(Serialize, Deserialize)]
struct Head {
    id: String,
    headers: Vec<(String, String)>,
    is_json: bool,
    from: Option<String>,
    traceparent: String,
    published_ms: u64,
}

/// All of a message but its body.
pub(super) fn encode(message: &Message) -> Result<Vec<u8>, Error> {
    let head = Head {
        id: message.id.clone(),
        headers: message.headers.clone(),
        is_json: message.codec == Codec::Json,
        from: message.from.clone(),
        traceparent: message.traceparent.clone(),
        published_ms: message.published_ms,
    };
    serde_json::to_vec(&head).map_err(|error| Error::Backend(error.to_string()))
}

/// None: another version wrote it in a way that this one cannot read.
pub(super) fn decode(head: &[u8], body: Vec<u8>) -> Option<Arc<Message>> {
    let head: Head = serde_json::from_slice(head).ok()?;
    Some(Arc::new(Message {
        id: head.id,
        headers: head.headers,
        body: Bytes::from(body),
        codec: if head.is_json { Codec::Json } else { Codec::Protobuf },
        from: head.from,
        traceparent: head.traceparent,
        published_ms: head.published_ms,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        let message = Message {
            id: "7".to_owned(),
            headers: vec![("A".to_owned(), "1\n\"".to_owned()), ("A".to_owned(), "é".to_owned())],
            body: Bytes::from_static(b"\0\xff"),
            codec: Codec::Protobuf,
            from: Some("orders".to_owned()),
            traceparent: "00-1".to_owned(),
            published_ms: 9,
        };
        let head = encode(&message).unwrap();
        assert_eq!(decode(&head, message.body.to_vec()), Some(Arc::new(message)));
        assert_eq!(decode(b"{}", Vec::new()), None);
    }
}
