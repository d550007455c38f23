//! Messages on their way, bounded in number and in bytes.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Messages that wait in one direction.
pub const MESSAGES_MAX: usize = 16;
/// Bytes of them together; a message that is larger waits alone.
pub const BYTES_MAX: usize = 1 << 20;

/// Nobody takes messages any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes messages any more")]
pub struct Closed;

/// Puts messages in. The queue ends when all of them are dropped.
#[derive(Debug, Clone)]
pub struct Sender {
    messages: mpsc::Sender<(Bytes, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

/// Takes messages out. Whoever waits to send is told when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    messages: mpsc::Receiver<(Bytes, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

/// One direction of a stream: [`MESSAGES_MAX`] messages and [`BYTES_MAX`] bytes wait in it.
pub fn queue() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    let room = Arc::new(Semaphore::new(BYTES_MAX));
    (Sender { messages: sender, room: Arc::clone(&room) }, Receiver { messages: receiver, room })
}

impl Sender {
    /// Puts `message` in as soon as there is room.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn send(&self, message: Bytes) -> Result<(), Closed> {
        let bytes = u32::try_from(message.len().min(BYTES_MAX)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.map_err(|_| Closed)?;
        self.messages.send((message, room)).await.map_err(|_| Closed)
    }
}

impl Receiver {
    /// The next message; none when there will be no other. Nothing is lost when this is dropped.
    pub async fn recv(&mut self) -> Option<Bytes> {
        self.messages.recv().await.map(|(message, _)| message)
    }

    /// The same for whoever polls.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.messages.poll_recv(cx).map(|next| next.map(|(message, _)| message))
    }

    /// A message that is there already.
    pub fn try_recv(&mut self) -> Option<Bytes> {
        self.messages.try_recv().ok().map(|(message, _)| message)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.room.close();
    }
}
