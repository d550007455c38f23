//! Events: a durable log a topic, that is published to, read again, and consumed by groups.
//!
//! Publishing and reading must be granted: `events = { publish = ["audit"], consume = ["audit"] }` under `[grants]` in
//! `micro.toml`. To be called for each event takes no code but an endpoint: a `[[consume]]` in `micro.toml` names the
//! topic and the endpoint.

use std::collections::BTreeMap;
use std::time::SystemTime;

use prost::Message;

use crate::{Error, host};

/// The key of metadata that says how a payload is encoded.
const CONTENT_TYPE: &str = "Content-Type";

/// An event of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Unique in its topic.
    pub id: String,
    /// From 1, without gaps, in the order of the topic.
    pub position: u64,
    /// When it was appended; never before the event before it.
    pub timestamp: SystemTime,
    /// As published.
    pub metadata: BTreeMap<String, String>,
    /// As published.
    pub payload: Vec<u8>,
}

impl Event {
    /// The payload as a protobuf message.
    ///
    /// # Errors
    /// 400 when it is none.
    pub fn message<T: Message + Default>(&self) -> Result<T, Error> {
        crate::decode(&self.id, &self.payload)
    }
}

/// Appends a protobuf message to a topic and answers the event's id. It is durable then.
///
/// # Errors
/// 403 when the topic is not granted, 400 for a bad topic or a message above 1 MiB, 429 when the namespace has no room.
pub async fn publish(topic: &str, message: &impl Message) -> Result<String, Error> {
    Publisher::new(topic).publish(message).await
}

/// The events after the position `after`, oldest first; 0 is the oldest that is kept. At most `limit`, 1 to 1000, and
/// 4 MiB; none only at the end. Go on after the last one's position.
///
/// ```
/// use micro_sdk::{events, test::World};
///
/// let world = World::new();
/// let audit = events::Publisher::new("audit").metadata("Actor", "jane");
/// world.block_on(audit.publish_json(r#"{"did": "login"}"#))?;
/// let page = world.block_on(events::read("audit", 0, 100))?;
/// assert_eq!((page[0].position, page[0].metadata["Actor"].as_str()), (1, "jane"));
/// assert!(world.block_on(events::read("audit", 1, 100))?.is_empty());
/// # Ok::<_, micro_sdk::Error>(())
/// ```
///
/// # Errors
/// 403 when the topic is not granted, 400 for a bad topic or limit.
pub async fn read(topic: &str, after: u64, limit: u32) -> Result<Vec<Event>, Error> {
    host::events_read(topic.to_owned(), after, limit).await
}

/// A topic to publish to, and the metadata that goes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    topic: String,
    metadata: Vec<(String, String)>,
}

impl Publisher {
    /// A publisher to this topic.
    pub fn new(topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), metadata: Vec::new() }
    }

    /// Keeps one more entry with each event. Keys that begin with `Micro-` are the platform's and left out.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Publishes a protobuf message and answers the event's id.
    ///
    /// # Errors
    /// As [`publish`].
    pub async fn publish(&self, message: &impl Message) -> Result<String, Error> {
        self.send("application/protobuf", message.encode_to_vec()).await
    }

    /// Publishes the text of a JSON object and answers the event's id.
    ///
    /// # Errors
    /// As [`publish`].
    pub async fn publish_json(&self, object: impl Into<String>) -> Result<String, Error> {
        self.send("application/json", object.into().into_bytes()).await
    }

    async fn send(&self, kind: &str, payload: Vec<u8>) -> Result<String, Error> {
        let own = self.metadata.iter().filter(|(key, _)| !key.eq_ignore_ascii_case(CONTENT_TYPE));
        let mut metadata: Vec<_> = own.cloned().collect();
        metadata.push((CONTENT_TYPE.to_owned(), kind.to_owned()));
        host::events_publish(self.topic.clone(), metadata, payload).await
    }
}
