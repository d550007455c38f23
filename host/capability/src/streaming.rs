//! Messages of a call whose endpoint streams.
//!
//! A call that streams has two ends: the [`Near`] one belongs to the instance that answers and is what the guest's
//! `receive` and `send` reach, the [`Far`] one to whoever runs the call. Each direction is a [`queue`].

mod host;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use micro_api::Error;
use tokio_util::sync::CancellationToken;

pub use queue::{BYTES_MAX, Closed, MESSAGES_MAX, Receiver, Sender, queue};

const ID: &str = "go.micro.streaming";

/// In which directions an endpoint streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// It takes a stream of messages, not one.
    pub takes: bool,
    /// It replies with a stream, not with one message.
    pub replies: bool,
}

/// What both ends know.
#[derive(Debug, Default)]
struct State {
    gone: CancellationToken,
    over: AtomicBool,
}

/// The end of the guest that answers.
#[derive(Debug)]
pub struct Near {
    requests: Option<tokio::sync::Mutex<Receiver>>,
    /// None inside: a message was too large, and no other follows.
    replies: Option<parking_lot::Mutex<Option<Sender>>>,
    reply_bytes_max: u64,
    state: Arc<State>,
}

/// The end of whoever runs the call. Dropping it says that the caller is gone.
#[derive(Debug)]
pub struct Far {
    /// Towards the guest; dropping it says that the last message was sent. None where the endpoint takes no stream.
    pub requests: Option<Sender>,
    /// From the guest; none where the endpoint replies with no stream.
    pub replies: Option<Receiver>,
    state: Arc<State>,
}

/// Both ends of a call. A reply larger than `reply_bytes_max` fails the call.
pub fn duplex(shape: Shape, reply_bytes_max: u64) -> (Arc<Near>, Far) {
    let state = Arc::<State>::default();
    let (requests, taken) = shape.takes.then(queue).unzip();
    let (sent, replies) = shape.replies.then(queue).unzip();
    let near = Near {
        requests: taken.map(tokio::sync::Mutex::new),
        replies: sent.map(|sender| parking_lot::Mutex::new(Some(sender))),
        reply_bytes_max,
        state: Arc::clone(&state),
    };
    (Arc::new(near), Far { requests, replies, state })
}

impl Far {
    /// The guest sent a message that is too large; the replies end with those before it.
    pub fn is_over(&self) -> bool {
        self.state.over.load(Ordering::Acquire)
    }

    /// The caller is gone: from here on the guest's `receive` and `send` fail.
    pub fn cancel(&self) {
        self.state.gone.cancel();
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Near {
    /// Waits until the caller is gone, or has its answer.
    pub async fn left(&self) {
        self.state.gone.cancelled().await;
    }

    /// The caller's next message; none after its last one.
    ///
    /// # Errors
    /// 400 where the endpoint takes no stream, 499 when the caller is gone.
    pub(crate) async fn receive(&self) -> Result<Option<Bytes>, Error> {
        let requests = self.requests.as_ref().ok_or_else(|| {
            Error::bad_request(ID, "the endpoint takes no stream: its message is what `handle` was given")
        })?;
        let next = async { requests.lock().await.recv().await };
        tokio::select! {
            biased;
            () = self.state.gone.cancelled() => Err(gone()),
            message = next => Ok(message),
        }
    }

    /// Sends one message and waits for room.
    ///
    /// # Errors
    /// 400 where the endpoint replies with no stream, 413 for a message above the limit, which fails the call, 499 when
    /// the caller is gone.
    pub(crate) async fn send(&self, message: Bytes) -> Result<(), Error> {
        let replies = self.replies.as_ref().ok_or_else(|| {
            Error::bad_request(ID, "the endpoint replies with no stream: return its reply from `handle`")
        })?;
        if message.len() as u64 > self.reply_bytes_max {
            self.state.over.store(true, Ordering::Release);
            drop(replies.lock().take());
            let detail = format!("limit: response: a message is larger than {} bytes", self.reply_bytes_max);
            return Err(Error::new(ID, 413, detail));
        }
        let sender = replies.lock().clone().ok_or_else(gone)?;
        tokio::select! {
            biased;
            () = self.state.gone.cancelled() => Err(gone()),
            sent = sender.send(message) => sent.map_err(|Closed| gone()),
        }
    }
}

/// 499 has no standard text.
fn gone() -> Error {
    Error { status: "Client Closed Request".to_owned(), ..Error::new(ID, 499, "the caller is gone") }
}

/// What a host call knows of the messages of the call that it is made for.
#[derive(Debug, Clone, Default)]
pub(crate) enum Streamed {
    /// The call does not stream, or no call runs.
    #[default]
    No,
    Yes(Arc<Near>),
    /// Several calls run, and it could be made for any of them.
    Unclear,
}

impl Streamed {
    fn near(&self) -> Result<&Near, Error> {
        match self {
            Self::Yes(near) => Ok(near),
            Self::No => Err(Error::bad_request(ID, "the call does not stream")),
            Self::Unclear => Err(Error::internal(
                ID,
                "several calls run in this instance and it is not clear which one this is for: call it from the task \
                 that answers the call",
            )),
        }
    }
}
