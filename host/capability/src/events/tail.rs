//! History, then what comes, without a gap or a duplicate between them.

use std::sync::Arc;
use std::time::Duration;

use super::{Backend, Error, Event, From, READ_EVENTS_MAX, TopicKey};

/// How often to look when no bell rings: another process may have written.
const POLL: Duration = Duration::from_secs(1);

/// Reads a topic for ever. There is one way in, the log itself, so the past and the present need no joining: the bell
/// only says when to look again.
pub struct Tail {
    backend: Arc<dyn Backend>,
    topic: TopicKey,
    from: From,
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail").field("topic", &self.topic).field("from", &self.from).finish_non_exhaustive()
    }
}

impl Tail {
    /// Starts at `from`; [`From::End`] is the end at the first call of [`Tail::next`].
    pub fn new(backend: Arc<dyn Backend>, topic: TopicKey, from: From) -> Self {
        Self { backend, topic, from }
    }

    /// The next events, at least one; waits for them. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// As [`Backend::read`]; the next call goes on at the same place.
    pub async fn next(&mut self) -> Result<Vec<Event>, Error> {
        // Before the first look, so that an event between the look and the wait is heard.
        let mut bell = self.backend.bell(&self.topic);
        loop {
            bell.borrow_and_update();
            let page = self.backend.read(&self.topic, self.from, READ_EVENTS_MAX).await?;
            // A time is kept until an event is there: one in the future still holds back what comes before it.
            if !page.events.is_empty() || self.from == From::End {
                self.from = From::After(page.after);
            }
            if !page.events.is_empty() {
                return Ok(page.events);
            }
            // On a closed bell only the time is left.
            match tokio::time::timeout(POLL, bell.changed()).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(_)) => tokio::time::sleep(POLL).await,
            }
        }
    }
}
