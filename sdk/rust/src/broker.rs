//! Messages to whoever subscribed to a topic.
//!
//! Publishing must be granted: `broker = { publish = ["orders.*"] }` under `[grants]` in `micro.toml`. To get messages
//! takes no code but an endpoint: a `[[subscribe]]` in `micro.toml` names the topic and the endpoint that its messages
//! call, or the attribute [`subscribe`](macro@crate::subscribe) of the handler's method does. What is published when nobody subscribed is dropped.

use prost::Message;

use crate::{Error, host};

/// The header that says how a body is encoded.
const CONTENT_TYPE: &str = "Content-Type";

/// Publishes a message to a topic.
///
/// # Errors
/// 403 when the topic is not granted, 400 for a bad topic or a message above 1 MiB, 429 when a group of subscribers is
/// full: then nobody has the message.
pub async fn publish(topic: &str, message: &impl Message) -> Result<(), Error> {
    Publisher::new(topic).publish(message).await
}

/// A topic to publish to, and the headers that go along.
///
/// ```
/// use micro_sdk::{broker::Publisher, test::World};
///
/// let world = World::new();
/// let created = Publisher::new("orders.created").header("Shop", "berlin");
/// world.block_on(created.publish_json(r#"{"id": "1"}"#))?;
/// assert_eq!(world.published()[0].topic, "orders.created");
/// # Ok::<_, micro_sdk::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    topic: String,
    headers: Vec<(String, String)>,
}

impl Publisher {
    /// A publisher to this topic.
    pub fn new(topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), headers: Vec::new() }
    }

    /// Sends one more header with each message; subscribers find it in their metadata.
    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((key.into(), value.into()));
        self
    }

    /// Publishes a protobuf message. A subscriber that reads JSON gets JSON.
    ///
    /// # Errors
    /// As [`publish`].
    pub async fn publish(&self, message: &impl Message) -> Result<(), Error> {
        self.send("application/protobuf", message.encode_to_vec()).await
    }

    /// Publishes the text of a JSON object. A subscriber that reads protobuf gets protobuf, by its own schema.
    ///
    /// # Errors
    /// As [`publish`]; 400 also for what is no JSON object.
    pub async fn publish_json(&self, object: impl Into<String>) -> Result<(), Error> {
        self.send("application/json", object.into().into_bytes()).await
    }

    async fn send(&self, kind: &str, body: Vec<u8>) -> Result<(), Error> {
        let own = self.headers.iter().filter(|(key, _)| !key.eq_ignore_ascii_case(CONTENT_TYPE));
        let mut headers: Vec<_> = own.cloned().collect();
        headers.push((CONTENT_TYPE.to_owned(), kind.to_owned()));
        host::broker_publish(self.topic.clone(), headers, body).await
    }
}
