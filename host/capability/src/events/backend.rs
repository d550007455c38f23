//! What a backend must do, in the platform's own words. `contract` is the suite that each one passes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use micro_api::name::Namespace;
use tokio::sync::watch;
use uuid::Uuid;

use super::{GroupKey, TopicKey};
use crate::context::unix_ms;

/// Longest payload, bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Most entries of an event's metadata.
pub const METADATA_ENTRIES_MAX: usize = 64;
/// Most bytes of an event's metadata, keys and values.
pub const METADATA_BYTES_MAX: usize = 16 << 10;
/// Most events appended at once.
pub const APPEND_EVENTS_MAX: usize = 1_000;
/// Most bytes of payload and metadata appended at once.
pub const APPEND_BYTES_MAX: usize = 4 << 20;
/// Most events of a page.
pub const READ_EVENTS_MAX: usize = 1_000;
/// Most bytes of payload and metadata in a page; a page has at least one event.
pub const READ_BYTES_MAX: usize = 4 << 20;
/// Most topics of a namespace, dead-letter topics among them; but one of these is always made when it is needed.
pub const TOPICS_MAX: usize = 10_000;
/// Most groups of a topic.
pub const GROUPS_MAX: usize = 1_000;
/// Most events of a group that are leased or wait to be tried again; a group that has so many gets no new ones.
pub const PENDING_MAX: usize = 1_000;
/// Most events of a group that may be leased at once.
pub const IN_FLIGHT_MAX: usize = 256;
/// Longest reason of a refusal that is kept, bytes; more is cut.
pub const REASON_BYTES_MAX: usize = 512;
/// What an event takes beside its payload and metadata, bytes.
pub(crate) const EVENT_BYTES: usize = 128;

/// An event to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    /// The event's name in its topic: the same again is the same event, and is not appended twice.
    pub id: Uuid,
    /// At most [`METADATA_ENTRIES_MAX`] and [`METADATA_BYTES_MAX`].
    pub metadata: BTreeMap<String, String>,
    /// At most [`PAYLOAD_BYTES_MAX`].
    pub payload: Bytes,
}

/// Where an event went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// As given.
    pub id: Uuid,
    /// From 1, without gaps, in the order of the topic.
    pub position: u64,
    /// When it was appended first, Unix milliseconds.
    pub timestamp_ms: u64,
}

/// An event of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Unique in its topic.
    pub id: Uuid,
    /// From 1, without gaps, in the order of the topic.
    pub position: u64,
    /// When it was appended, Unix milliseconds; never less than that of the event before.
    pub timestamp_ms: u64,
    /// As appended.
    pub metadata: BTreeMap<String, String>,
    /// As appended.
    pub payload: Bytes,
}

/// From where on to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum From {
    /// From the oldest event that is kept.
    #[default]
    Start,
    /// From the next one to be appended.
    End,
    /// After a position.
    After(u64),
    /// From the first event at or after a time, Unix milliseconds.
    Since(u64),
}

/// Events in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// At most [`READ_EVENTS_MAX`] and, but for the first, [`READ_BYTES_MAX`].
    pub events: Vec<Event>,
    /// Go on with [`From::After`] this one.
    pub after: u64,
}

/// On what terms a group takes events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Most events to take now.
    pub max: usize,
    /// How long the taker may be silent, milliseconds, more than 0; then the event is delivered again.
    pub ack_wait_ms: u64,
    /// How often an event is delivered again; none: for ever. One that was delivered once more than this goes to the
    /// dead-letter topic.
    pub retries: Option<u32>,
    /// Most events of the group that are leased at once, at most [`IN_FLIGHT_MAX`]; with 1, order holds while nothing
    /// is retried.
    pub in_flight: usize,
    /// Where a group starts that is new.
    pub start: From,
}

impl Default for Lease {
    fn default() -> Self {
        Self { max: 1, ack_wait_ms: 30_000, retries: None, in_flight: 1, start: From::Start }
    }
}

/// An event that a group has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The event.
    pub event: Event,
    /// From 1.
    pub attempt: u32,
}

/// A refusal of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// Of which delivery: one that is over by now is not refused again.
    pub attempt: u32,
    /// How long to wait before the next, milliseconds.
    pub delay_ms: u64,
    /// Why, for the dead-letter topic.
    pub reason: String,
    /// What becomes of the event.
    pub then: Then,
}

/// What becomes of an event that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Then {
    /// It is delivered again, unless the group's retries are spent.
    #[default]
    Again,
    /// It goes to the dead-letter topic now.
    Dead,
    /// It never got to anybody: it is delivered again, and this delivery does not count.
    Unheard,
}

/// What is known of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub topic: String,
    /// Events that are kept.
    pub events: u64,
    /// The last position that was given; 0: none.
    pub last: u64,
    /// Deliveries that retention prevented: events removed before a group had acknowledged them, once a group.
    pub lost: u64,
}

/// What is known of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name.
    pub group: String,
    /// The last position that was delivered.
    pub cursor: u64,
    /// Events that are leased or wait to be tried again.
    pub pending: u64,
    /// Kept events that were never delivered.
    pub behind: u64,
}

/// Why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Not a topic's name.
    #[error("a topic has 1 to 256 bytes: letters, digits, `_` and `-`, joined by dots")]
    Topic,
    /// A topic that only the platform writes to.
    #[error("topics that end in `.dead` are the platform's: nobody else publishes to them")]
    Reserved,
    /// Not a group's name.
    #[error("a group has at most 128 bytes of A-Z, a-z, 0-9, '.', '_' and '-'")]
    Group,
    /// The payload is too long.
    #[error("a payload has at most {PAYLOAD_BYTES_MAX} bytes")]
    Payload,
    /// The metadata is too much.
    #[error("metadata has at most {METADATA_ENTRIES_MAX} entries and {METADATA_BYTES_MAX} bytes")]
    Metadata,
    /// Too much at once.
    #[error("at most {APPEND_EVENTS_MAX} events and {APPEND_BYTES_MAX} bytes are published at once")]
    Batch,
    /// A lease without time.
    #[error("invalid AckWait passed, should be positive integer")]
    AckWait,
    /// The namespace has too many topics.
    #[error("a namespace has at most {TOPICS_MAX} topics")]
    Topics,
    /// The topic has too many groups.
    #[error("a topic has at most {GROUPS_MAX} groups")]
    Groups,
    /// The disk, or the memory of the server, has no room left: not the namespace's fault, whose retention makes room.
    #[error("there is no room left for events: the operator has to make some")]
    Full,
    /// More calls wait than the backend queues.
    #[error("the events are busy")]
    Busy,
    /// The backend failed; the text is for the operator.
    #[error("events backend: {0}")]
    Backend(String),
}

/// A log of events. What was appended or acknowledged survives a crash unless the backend is in memory. Positions
/// become visible in order: who has read up to one has missed none before it.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Appends all or none, in order; to no dead-letter topic. An event whose id the topic has is left as it is, and its place is answered.
    async fn append(&self, topic: &TopicKey, events: Vec<New>) -> Result<Vec<Appended>, Error>;

    /// One page of history; a topic that nobody wrote to is empty.
    async fn read(&self, topic: &TopicKey, from: From, limit: usize) -> Result<Page, Error>;

    /// Takes what the group is due: first what is to be tried again, then new events. Makes the group if need be, but no
    /// topic: a group of one that is not there gets nothing, and is not there either.
    async fn next(&self, group: &GroupKey, lease: Lease) -> Result<Vec<Delivery>, Error>;

    /// The events are done with; how many were pending. On an error all of them may be done with, or none.
    async fn ack(&self, group: &GroupKey, ids: &[Uuid]) -> Result<usize, Error>;

    /// The event is to be delivered again, or goes to the dead-letter topic; whether that delivery was pending.
    async fn nack(&self, group: &GroupKey, id: Uuid, nack: Nack) -> Result<bool, Error>;

    /// Topics of the namespace, sorted.
    async fn topics(&self, namespace: &Namespace) -> Result<Vec<TopicInfo>, Error>;

    /// Groups of the topic, sorted.
    async fn groups(&self, topic: &TopicKey) -> Result<Vec<GroupInfo>, Error>;

    /// Bytes of the events that the namespace keeps, as [`Retention::bytes`](super::Retention::bytes) counts them.
    async fn held(&self, namespace: &Namespace) -> Result<u64, Error>;

    /// Rings when something may have changed in the topic; may ring without, and another process's changes may ring
    /// not at all: ask each second too.
    fn bell(&self, topic: &TopicKey) -> watch::Receiver<u64>;

    /// The log's clock, by which it says when events were appended, Unix milliseconds. A log that nodes share has one of
    /// its own.
    async fn now_ms(&self) -> Result<u64, Error> {
        Ok(unix_ms())
    }

    /// Whether the log can be reached.
    async fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl New {
    /// Payload and metadata, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len() + self.metadata_bytes()
    }

    fn metadata_bytes(&self) -> usize {
        self.metadata.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

/// Checks what every backend may rely on.
pub(crate) fn check_events(events: &[New]) -> Result<(), Error> {
    if events.len() > APPEND_EVENTS_MAX {
        return Err(Error::Batch);
    }
    for event in events {
        if event.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::Payload);
        }
        if event.metadata.len() > METADATA_ENTRIES_MAX || event.metadata_bytes() > METADATA_BYTES_MAX {
            return Err(Error::Metadata);
        }
    }
    if events.iter().map(New::bytes).sum::<usize>() > APPEND_BYTES_MAX { Err(Error::Batch) } else { Ok(()) }
}
