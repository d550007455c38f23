//! Calls to other services of the namespace.

mod handles;
mod host;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use micro_api::Error;
use micro_api::name::ServiceName;

pub use handles::HANDLES_MAX;
#[cfg(test)]
pub(crate) use host::{Options, Request};

pub(crate) use handles::Conversations;

use crate::streaming::Sender;
use crate::{Context, Scope};

/// How a message is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Protocol Buffers.
    Protobuf,
    /// JSON.
    Json,
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct CallOrigin {
    /// The calling service.
    pub scope: Scope,
    /// The call that it is answering; its account, trace and deadline go along.
    pub context: Arc<Context>,
}

/// How one of several nodes of a service is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Selector {
    /// Of two drawn at random the one with fewer calls.
    #[default]
    Random,
    /// One after the other.
    RoundRobin,
}

/// One outbound call, checked and completed by the platform.
#[derive(Debug, Clone)]
pub struct CallOptions {
    /// The inbound call's metadata, what the guest added, and `Micro-From-Service`.
    pub metadata: Vec<(String, String)>,
    /// When the call must be over; never later than the inbound one.
    pub deadline: Instant,
    /// Only this version.
    pub version: Option<String>,
    /// Only nodes whose metadata has all of these.
    pub labels: Vec<(String, String)>,
    /// Which of them.
    pub selector: Selector,
}

/// What a service replies to a call that streams, message by message. An error is the last item. Dropping it cancels the
/// call.
pub type Replies = Pin<Box<dyn futures::Stream<Item = Result<Bytes, Error>> + Send>>;

/// A call that streams.
pub struct Conversation {
    /// Where messages go; dropping it, and what was cloned of it, says that the last one was sent. None where the
    /// endpoint takes no stream.
    pub requests: Option<Sender>,
    /// What comes back; one message where the endpoint replies with no stream.
    pub replies: Replies,
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation").field("requests", &self.requests).finish_non_exhaustive()
    }
}

/// Delivers calls; implemented by the gateway's dispatcher.
#[async_trait]
pub trait Caller: Send + Sync + 'static {
    /// Calls `endpoint` of `service` in the origin's namespace and returns the reply in the same codec.
    ///
    /// # Errors
    /// The callee's own error, or the platform's: 404 for an unknown service or endpoint, 408 past the deadline,
    /// 503 when saturated.
    async fn call(
        &self,
        origin: CallOrigin,
        service: ServiceName,
        endpoint: String,
        codec: Codec,
        request: Bytes,
        options: CallOptions,
    ) -> Result<Bytes, Error>;

    /// Begins a call of an endpoint that streams, in the same codec both ways. `request` is the one message of an
    /// endpoint that takes no stream. It runs whether or not its replies are read, as far as queues allow, and is never
    /// repeated. The deadline of `options` bounds all of it.
    ///
    /// # Errors
    /// As for a call, and 400 where the endpoint does not stream or `request` does not fit. Later errors are the last
    /// item of the replies.
    async fn open(
        &self,
        origin: CallOrigin,
        service: ServiceName,
        endpoint: String,
        codec: Codec,
        request: Option<Bytes>,
        options: CallOptions,
    ) -> Result<Conversation, Error>;
}
