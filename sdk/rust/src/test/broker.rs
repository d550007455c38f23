//! What was published.

use prost::Message;

use crate::Error;

/// A message that a service under test published; see [`World::published`](super::World::published).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Where to.
    pub topic: String,
    /// Its headers, `Content-Type` among them.
    pub headers: Vec<(String, String)>,
    /// A protobuf message or JSON, as the `Content-Type` says.
    pub body: Vec<u8>,
}

impl Published {
    /// The value of a header, whatever its case.
    pub fn header(&self, key: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(key));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as a protobuf message.
    ///
    /// # Errors
    /// 400 when it is none.
    pub fn message<T: Message + Default>(&self) -> Result<T, Error> {
        crate::decode(&self.topic, &self.body)
    }
}

/// Whether the platform would take it: the same rule for topics and sizes.
pub(crate) fn check(topic: &str, body: &[u8]) -> Result<(), Error> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let label = |label: &str| !label.is_empty() && label.bytes().all(allowed);
    if topic.len() > 256 || !topic.split('.').all(label) {
        let text = "a topic has 1 to 256 bytes: letters, digits, `_` and `-`, joined by dots";
        return Err(Error::bad_request("go.micro.broker", text));
    }
    if body.len() > 1 << 20 {
        return Err(Error::bad_request("go.micro.broker", "a message has at most 1 MiB"));
    }
    Ok(())
}
