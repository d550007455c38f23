//! Streams to other services that one instance holds open.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt as _;
use micro_api::Error;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Conversation;
use super::host::ID;
use crate::streaming::{Closed, Sender};

/// Most streams of an instance at once.
pub const HANDLES_MAX: usize = 16;

/// The streams of one instance, by their numbers, which are never used again.
#[derive(Debug, Default)]
pub(crate) struct Conversations(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    last: u64,
    /// None: it is being opened.
    open: HashMap<u64, Option<Arc<Open>>>,
}

/// One stream. Each direction is used by one host call at a time; both may be used at once.
pub(super) struct Open {
    requests: Requests,
    replies: tokio::sync::Mutex<super::Replies>,
    deadline: Instant,
    closed: CancellationToken,
}

enum Requests {
    /// The endpoint takes no stream.
    No,
    /// None: the last message was sent.
    Yes(Mutex<Option<Sender>>),
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// A place for a stream that is being opened. Dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Held {
    conversations: Arc<Conversations>,
    number: u64,
}

impl Conversations {
    /// Streams past their deadline make room.
    ///
    /// # Errors
    /// 429 when there are [`HANDLES_MAX`] already.
    pub(super) fn reserve(self: &Arc<Self>) -> Result<Held, Error> {
        let now = Instant::now();
        let is_late = |open: &Option<Arc<Open>>| open.as_ref().is_some_and(|open| open.deadline <= now);
        let mut table = self.0.lock();
        let late: Vec<_> = table.open.extract_if(|_, open| is_late(open)).collect();
        let reserved = self.reserve_in(&mut table);
        drop(table);
        // They are dropped after the lock. Whoever waits for one is told of its deadline.
        drop(late);
        reserved
    }

    fn reserve_in(self: &Arc<Self>, table: &mut Table) -> Result<Held, Error> {
        if table.open.len() >= HANDLES_MAX {
            let detail = format!("limit: streams: an instance has at most {HANDLES_MAX} open: close some");
            return Err(Error::new(ID, 429, detail));
        }
        table.last += 1;
        let number = table.last;
        table.open.insert(number, None);
        Ok(Held { conversations: Arc::clone(self), number })
    }

    /// # Errors
    /// 400 when `number` is not open.
    pub(super) fn find(&self, number: u64) -> Result<Arc<Open>, Error> {
        let found = self.0.lock().open.get(&number).and_then(Option::clone);
        found.ok_or_else(|| Error::bad_request(ID, format!("{number} is no handle of an open stream")))
    }

    /// Cancels and lets go of a stream; one that is not there is no error.
    pub(super) fn close(&self, number: u64) {
        // What it stood for is dropped after the lock.
        let closed = self.0.lock().open.remove(&number).flatten();
        if let Some(closed) = closed {
            closed.closed.cancel();
        }
    }

    /// Closes all.
    pub(crate) fn clear(&self) {
        let open = std::mem::take(&mut self.0.lock().open);
        open.values().flatten().for_each(|open| open.closed.cancel());
    }
}

impl Held {
    /// Leaves the handle open, unless it was closed meanwhile.
    pub(super) fn keep(self, conversation: Conversation, deadline: Instant) -> u64 {
        let requests = match conversation.requests {
            None => Requests::No,
            Some(sender) => Requests::Yes(Mutex::new(Some(sender))),
        };
        let replies = tokio::sync::Mutex::new(conversation.replies);
        let open = Open { requests, replies, deadline, closed: CancellationToken::new() };
        if let Some(slot) = self.conversations.0.lock().open.get_mut(&self.number) {
            *slot = Some(Arc::new(open));
        }
        self.number
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut table = self.conversations.0.lock();
        // Something stands there after `keep`.
        if table.open.get(&self.number).is_some_and(Option::is_none) {
            table.open.remove(&self.number);
        }
    }
}

impl Open {
    fn requests(&self) -> Result<&Mutex<Option<Sender>>, Error> {
        match &self.requests {
            Requests::Yes(sender) => Ok(sender),
            Requests::No => Err(Error::bad_request(
                ID,
                "the endpoint takes no stream: its message went along with `open`",
            )),
        }
    }

    /// # Errors
    /// 400 after the last message, 499 when the service takes no more, 408 past the stream's budget.
    pub(super) async fn send(&self, message: Bytes) -> Result<(), Error> {
        let sender = self.requests()?.lock().clone();
        let sender = sender.ok_or_else(|| Error::bad_request(ID, "the last message was sent already"))?;
        let sent = self.bounded(sender.send(message)).await?;
        sent.map_err(|Closed| {
            let error = Error::new(ID, 499, "the service takes no more messages of this stream");
            Error { status: "Client Closed Request".to_owned(), ..error }
        })
    }

    /// # Errors
    /// 400 where the endpoint takes no stream. To say it twice is no error.
    pub(super) fn finish(&self) -> Result<(), Error> {
        drop(self.requests()?.lock().take());
        Ok(())
    }

    /// # Errors
    /// The service's own, 408 past the stream's budget, 400 when the handle is closed meanwhile.
    pub(super) async fn receive(&self) -> Result<Option<Bytes>, Error> {
        self.bounded(async { self.replies.lock().await.next().await }).await?.transpose()
    }

    async fn bounded<R>(&self, work: impl Future<Output = R>) -> Result<R, Error> {
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Error::bad_request(ID, "the handle was closed")),
            done = tokio::time::timeout_at(self.deadline.into(), work) => {
                done.map_err(|_| Error::timeout(ID, "the budget of the stream is used up"))
            }
        }
    }
}
