//! What a log does without us: the client library alone, with the statements or scripts that our backend sends.

use anyhow::Result;
use async_trait::async_trait;
use uuid::Uuid;

use crate::capabilities::VALUE_BYTES;
use crate::capabilities::floor::Floor;
use crate::capabilities::looper::object;

/// As our backends have it.
pub(super) const GROUP: &str = "looper";
pub(super) const METADATA: &str = r#"{"content-type":"application/json"}"#;
pub(super) const SILENCE: &str = "no answer within ack_wait";
/// How long the taker may be silent, and how long events are kept, milliseconds.
pub(super) const ACK_WAIT_MS: u64 = 600_000;
pub(super) const AGE_MS: u64 = 7 * 86_400_000;
/// How many bytes are kept: retention removes nothing.
pub(super) const KEPT_BYTES: u64 = 8 << 30;

/// By whom events are taken, and how many.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) group: String,
    /// Where the group begins.
    pub(super) after: u64,
    pub(super) max: usize,
}

/// The topic of the benchmark, which is there.
#[async_trait]
pub(super) trait Native: Send + Sync {
    /// Appends one event.
    fn append(&self) -> Floor;

    /// Reads one of the first so many events.
    fn read(&self, events: u64) -> Floor;

    /// Takes events for a group, which is made.
    async fn take(&self, terms: &Terms) -> Result<Vec<Uuid>>;

    /// Is done with one of them.
    async fn ack(&self, group: &str, id: Uuid) -> Result<()>;

    /// Adds to the one event that is there, in bulk, until there are so many.
    async fn fill(&self, events: u64) -> Result<()>;
}

/// What one event counts, as our backends count it.
pub(super) fn size() -> u64 {
    (object(VALUE_BYTES).len() + "content-type".len() + "application/json".len() + 128) as u64
}
