//! Endpoints that take a stream of messages, reply with one, or both: `stream` in the `.proto`.
//!
//! A handler reads [`Requests`] and writes [`Replies`]:
//!
//! ```ignore
//! async fn ping_pong(&self, _ctx: &Context, pings: Requests<Ping>, pongs: Replies<Pong>) -> Result<(), Error> {
//!     while let Some(ping) = pings.next().await? {
//!         pongs.send(&Pong { stroke: ping.stroke }).await?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A generated client gives [`Receiving`], [`Sending`] or a [`Conversation`], and the end of each closes the call.
//!
//! Limits: a message is as large as a request or a reply may be, 16 messages wait in each direction before the sender
//! waits, and an instance has 16 open calls to other services. A wrapper of handlers sees a streaming call as one call,
//! whose result is empty when the endpoint replies with a stream; a wrapper of clients sees its beginning.

use std::cell::Cell;
use std::marker::PhantomData;

use prost::Message;

use crate::{Error, host};

#[cfg(test)]
mod tests;

/// Which sides of an endpoint are streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streams {
    /// It takes a stream of messages.
    pub requests: bool,
    /// It replies with a stream.
    pub replies: bool,
}

/// The messages of the caller, for the handler of an endpoint that takes a stream.
#[derive(Debug)]
pub struct Requests<T> {
    endpoint: String,
    stream: host::Inbound,
    message: PhantomData<fn() -> T>,
}

impl<T: Message + Default> Requests<T> {
    /// Those of the call that is being answered. Generated servers make it.
    #[doc(hidden)]
    pub fn inbound(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), stream: host::Inbound::current(), message: PhantomData }
    }

    /// Waits for the next message; none after the last one. Returning before that is fine: the caller is told that the
    /// service takes no more.
    ///
    /// # Errors
    /// 400 when the message is not a `T`, 408 when the call's time is over, 499 when the caller is gone before its last
    /// message. All are final.
    pub async fn next(&self) -> Result<Option<T>, Error> {
        let Some(message) = self.stream.receive().await? else { return Ok(None) };
        crate::decode(&self.endpoint, &message).map(Some)
    }
}

/// The way to the caller, for the handler of an endpoint that replies with a stream.
#[derive(Debug)]
pub struct Replies<T> {
    stream: host::Inbound,
    message: PhantomData<fn(&T)>,
}

impl<T: Message> Replies<T> {
    /// That of the call that is being answered. Generated servers make it.
    #[doc(hidden)]
    pub fn inbound() -> Self {
        Self { stream: host::Inbound::current(), message: PhantomData }
    }

    /// Sends one message, and waits while the caller has 16 unread.
    ///
    /// # Errors
    /// 499 when the caller is gone: nobody reads what the handler does from then on, so return. 408 when the call's time
    /// is over, 413 when the message is too large.
    pub async fn send(&self, reply: &T) -> Result<(), Error> {
        self.stream.send(reply.encode_to_vec()).await
    }
}

/// A call of an endpoint that takes a stream and replies with one. Dropping it cancels the call, if that has not ended.
///
/// Both sides are independent: a future that sends and one that receives can run side by side. One that only sends waits
/// for good where the service does not read on before its replies are read.
#[derive(Debug)]
pub struct Conversation<Req, Rsp> {
    endpoint: String,
    call: host::Outbound,
    ended: Cell<bool>,
    messages: PhantomData<fn(&Req) -> Rsp>,
}

impl<Req: Message, Rsp: Message + Default> Conversation<Req, Rsp> {
    pub(crate) fn new(endpoint: &str, call: host::Outbound) -> Self {
        Self { endpoint: endpoint.to_owned(), call, ended: Cell::new(false), messages: PhantomData }
    }

    /// Sends one message, and waits while the service has 16 unread.
    ///
    /// # Errors
    /// 499 when the service takes no more; what it replied can still be read, and its own error with it. 408 when the
    /// call's time is over, 400 after [`finish`](Self::finish) and after the end that [`next`](Self::next) told.
    pub async fn send(&self, request: &Req) -> Result<(), Error> {
        self.call.send(request.encode_to_vec()).await
    }

    /// Says that the last message was sent.
    ///
    /// # Errors
    /// 408 when the call's time is over.
    pub async fn finish(&self) -> Result<(), Error> {
        self.call.finish().await
    }

    /// Waits for the service's next message; none after the last one, and after an error.
    ///
    /// # Errors
    /// What the service answered after the replies that it sent; 408 when the call's time is over; 500 when the message
    /// is not an `Rsp`. Each ends the call.
    pub async fn next(&self) -> Result<Option<Rsp>, Error> {
        if self.ended.get() {
            return Ok(None);
        }
        let received = self.call.receive().await;
        self.ended.set(!matches!(received, Ok(Some(_))));
        let Some(message) = received? else { return Ok(None) };
        Rsp::decode(message.as_slice()).map(Some).map_err(|error| {
            self.ended.set(true);
            Error::internal_server_error("go.micro.client", format!("a reply of {}: {error}", self.endpoint))
        })
    }
}

/// A call of an endpoint that replies with a stream. Dropping it cancels the call, if that has not ended.
#[derive(Debug)]
pub struct Receiving<Rsp>(Conversation<(), Rsp>);

impl<Rsp: Message + Default> Receiving<Rsp> {
    pub(crate) fn new(endpoint: &str, call: host::Outbound) -> Self {
        Self(Conversation::new(endpoint, call))
    }

    /// Waits for the service's next message; none after the last one, and after an error.
    ///
    /// # Errors
    /// As [`Conversation::next`].
    pub async fn next(&self) -> Result<Option<Rsp>, Error> {
        self.0.next().await
    }
}

/// A call of an endpoint that takes a stream and replies once. Dropping it cancels the call.
#[derive(Debug)]
pub struct Sending<Req, Rsp>(Conversation<Req, Rsp>);

impl<Req: Message, Rsp: Message + Default> Sending<Req, Rsp> {
    pub(crate) fn new(endpoint: &str, call: host::Outbound) -> Self {
        Self(Conversation::new(endpoint, call))
    }

    /// Sends one message, and waits while the service has 16 unread.
    ///
    /// # Errors
    /// As [`Conversation::send`]. [`finish`](Self::finish) tells why the service takes no more.
    pub async fn send(&self, request: &Req) -> Result<(), Error> {
        self.0.send(request).await
    }

    /// Says that the last message was sent, and waits for the reply.
    ///
    /// # Errors
    /// As [`Conversation::next`]; 500 also when the service ended without a reply.
    pub async fn finish(self) -> Result<Rsp, Error> {
        // A service that takes no more may have replied: its answer is the one that counts.
        let finished = self.0.finish().await;
        match self.0.next().await? {
            // A reply counts once the call has ended well.
            Some(reply) => self.0.next().await.map(|_| reply),
            None => Err(finished.err().unwrap_or_else(|| {
                Error::internal_server_error("go.micro.client", format!("{} sent no reply", self.0.endpoint))
            })),
        }
    }
}
