//! What a backend must do, in the platform's own words. `contract` is the suite that each one passes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use micro_api::broker::TOPIC_BYTES_MAX;
use micro_api::name::Namespace;

use super::{GroupKey, TopicKey};
use crate::client::Codec;

/// Longest body of a message, bytes.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Most headers of a message.
pub const HEADERS_MAX: usize = 64;
/// Most bytes of their names and values.
pub const HEADER_BYTES_MAX: usize = 16 << 10;
/// Longest reason that a dead letter keeps, characters.
pub(super) const REASON_CHARS_MAX: usize = 1_000;
/// What a message costs beside its own bytes, so that empty ones cannot fill the memory either.
const BOOK_BYTES: usize = 256;

/// A message as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The platform's id of it.
    pub id: String,
    /// At most [`HEADERS_MAX`] and [`HEADER_BYTES_MAX`].
    pub headers: Vec<(String, String)>,
    /// At most [`MESSAGE_BYTES_MAX`].
    pub body: Bytes,
    /// How the body is encoded.
    pub codec: Codec,
    /// The service that published it; none: a person.
    pub from: Option<String>,
    /// The publisher's W3C `traceparent`; may be empty.
    pub traceparent: String,
    /// Unix milliseconds.
    pub published_ms: u64,
}

impl Message {
    /// What it counts against a group's backlog.
    pub fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(key, value)| key.len() + value.len()).sum();
        BOOK_BYTES + headers + self.body.len()
    }
}

/// Names one delivery of a message within its group. What it means is the backend's own affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64, pub u64);

/// A message that is being delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Names the delivery.
    pub token: Token,
    /// What is delivered.
    pub message: Arc<Message>,
    /// From 1: how often it was claimed.
    pub attempt: u32,
}

/// What to claim.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// At most so many messages.
    pub max: usize,
    /// After this time, a message that was neither acknowledged nor refused can be claimed again.
    pub lease: Duration,
    /// How long to wait for a first message.
    pub wait: Duration,
}

/// A message that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// Which group gave it up.
    pub group: GroupKey,
    /// The message.
    pub message: Arc<Message>,
    /// How often it was delivered.
    pub attempts: u32,
    /// What the last delivery said.
    pub reason: String,
    /// Unix milliseconds.
    pub died_ms: u64,
}

/// Which dead letters of a namespace.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these messages; empty: all.
    pub ids: Vec<String>,
    /// Only of this topic.
    pub topic: Option<String>,
    /// Only of groups with this queue; fan-out groups have an empty one.
    pub queue: Option<String>,
}

impl Filter {
    pub(crate) fn takes_group(&self, key: &GroupKey) -> bool {
        let queue = match &key.group {
            super::Group::Queue(queue) => queue.as_str(),
            super::Group::FanOut { .. } => "",
        };
        self.topic.as_deref().is_none_or(|topic| topic == key.topic.topic())
            && self.queue.as_deref().is_none_or(|wanted| wanted == queue)
    }

    pub(crate) fn takes(&self, message: &Message) -> bool {
        self.ids.is_empty() || self.ids.contains(&message.id)
    }
}

/// A group, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupState {
    /// Which one.
    pub key: GroupKey,
    /// Messages that wait, delayed ones included.
    pub waiting: u64,
    /// Messages that are being delivered.
    pub in_flight: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Deliveries that were acknowledged.
    pub delivered: u64,
    /// Deliveries that failed or ran out of time.
    pub failed: u64,
    /// Dead letters that are kept.
    pub dead: u64,
    /// Messages that are gone unanswered.
    pub dropped: u64,
    /// When it was subscribed to or claimed from last, Unix milliseconds.
    pub seen_ms: u64,
}

/// Why a call of the broker failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a topic.
    #[error("a topic has 1 to {TOPIC_BYTES_MAX} bytes: letters, digits, `_` and `-`, joined by dots")]
    Topic,
    /// The message breaks a limit.
    #[error(
        "a message has at most {MESSAGE_BYTES_MAX} bytes, {HEADERS_MAX} headers and {HEADER_BYTES_MAX} bytes of headers"
    )]
    Size,
    /// The group named has no room; nobody has the message.
    #[error("the backlog of the group `{0}` is full: publish again when its subscribers have caught up")]
    Full(String),
    /// The namespace's groups together have no room; nobody has the message.
    #[error(
        "this namespace has too much in messages and dead letters: publish again when subscribers have caught up, or \
         discard dead letters"
    )]
    NamespaceFull,
    /// The broker is full, and the namespace has had its share; nobody has the message.
    #[error("the broker is full: try again later")]
    Busy,
    /// There is no such group, or no more.
    #[error("there is no such group")]
    Unknown,
    /// The namespace has too many groups.
    #[error("a namespace has at most {0} groups")]
    Groups(usize),
    /// The backend's server does not answer; the text is for the operator.
    #[error("the broker's server does not answer: {0}")]
    Away(String),
    /// The backend's server went away under the call, which may have happened; the text is for the operator.
    #[error("the broker's server went away before it answered: {0}")]
    Unsure(String),
    /// The backend's server has no memory left; nobody has the message.
    #[error("the broker's server is full: publish again when subscribers have caught up")]
    ServerFull,
    /// The backend failed; the text is for the operator.
    #[error("broker backend: {0}")]
    Backend(String),
}

/// A broker. Within a group every message is claimed until it is acknowledged, buried, or its group goes: at least once.
/// A group gets what is published after its first [`Backend::subscribe`].
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Makes the group, if there is none, and says that it is wanted.
    async fn subscribe(&self, group: &GroupKey) -> Result<(), Error>;

    /// Ends the group with all its messages.
    async fn unsubscribe(&self, group: &GroupKey) -> Result<(), Error>;

    /// Gives the message to every group of the topic, or to none and fails; how many have it. Without a group it is
    /// dropped, and counted. After [`Error::Unsure`] every group may have it, or none.
    async fn publish(&self, topic: &TopicKey, message: Message) -> Result<usize, Error>;

    /// Takes messages, waiting for a first one; empty when none came. Dropping the future loses nothing.
    async fn claim(&self, group: &GroupKey, claim: Claim) -> Result<Vec<Claimed>, Error>;

    /// The deliveries were answered: the messages are done. How many: the leases of others had run out. On an error all of
    /// them may be done, or none.
    async fn ack(&self, group: &GroupKey, tokens: &[Token]) -> Result<usize, Error>;

    /// The delivery failed: the message can be claimed again after `delay`. False: the lease had run out.
    async fn nack(&self, group: &GroupKey, token: Token, delay: Duration) -> Result<bool, Error>;

    /// Nobody heard the message: it is there as if it had not been claimed. False: the lease had run out.
    async fn release(&self, group: &GroupKey, token: Token) -> Result<bool, Error>;

    /// The message is given up: kept as a dead letter, or dropped. False: the lease had run out.
    async fn bury(&self, group: &GroupKey, token: Token, reason: &str, keep: bool) -> Result<bool, Error>;

    /// Groups of the namespace, by topic and name.
    async fn groups(&self, namespace: &Namespace) -> Result<Vec<GroupState>, Error>;

    /// Dead letters, a group's oldest first, at most `limit`.
    async fn dead(&self, namespace: &Namespace, filter: &Filter, limit: usize) -> Result<Vec<Dead>, Error>;

    /// Lets dead letters be delivered anew, their attempts forgotten; how many. A group that is full keeps the rest.
    async fn redrive(&self, namespace: &Namespace, filter: &Filter) -> Result<u64, Error>;

    /// Deletes dead letters; how many.
    async fn discard(&self, namespace: &Namespace, filter: &Filter) -> Result<u64, Error>;

    /// Lets go of groups that nobody has asked for a day; how many went.
    async fn sweep(&self) -> Result<u64, Error>;

    /// Whether the backend answers now.
    async fn check(&self) -> Result<(), Error>;

    /// What happened so far, as Prometheus text; topics beyond a bound share one label.
    fn metrics(&self) -> String;
}
