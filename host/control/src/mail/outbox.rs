//! Where mails wait for the mail server.
//!
//! Each mail that waits holds a place, so their number is bounded; a few are handed over at once, and what fails for now
//! is tried again after pauses that grow. They are kept in memory: who waits for a code that was lost in a crash asks
//! for another.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{MailError, Mailer, Message, shown};
use crate::error::chain;

/// How many mails, how often, and when again.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Mails that wait, those in work and between two tries included.
    pub waiting_max: usize,
    /// Mails that are handed over at once.
    pub at_once: usize,
    /// Pauses before the second try and those after it. None left: the mail is given up.
    pub pauses: Vec<Duration>,
}

impl Default for Pace {
    /// 1 000 mails, 4 at once, tried for about an hour.
    fn default() -> Self {
        let pauses = [2, 10, 60, 300, 900, 2_700].map(Duration::from_secs).to_vec();
        Self { waiting_max: 1_000, at_once: 4, pauses }
    }
}

/// No mail can be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("mails cannot be sent at the moment: try again in a few minutes")]
pub struct Full;

/// Takes mails and hands them on in the background. Cheap to clone.
#[derive(Clone)]
pub struct Outbox(Option<Arc<Inner>>);

struct Inner {
    mailer: Arc<dyn Mailer>,
    file: Option<PathBuf>,
    places: Arc<Semaphore>,
    turns: Semaphore,
    pauses: Vec<Duration>,
    places_max: u32,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("can_send", &self.can_send()).field("file", &self.file()).finish()
    }
}

impl Outbox {
    pub fn new(mailer: Arc<dyn Mailer>, pace: Pace) -> Self {
        let places_max = u32::try_from(pace.waiting_max).unwrap_or(u32::MAX).clamp(1, 1 << 20);
        Self(Some(Arc::new(Inner {
            mailer,
            file: None,
            places: Arc::new(Semaphore::new(places_max as usize)),
            turns: Semaphore::new(pace.at_once.max(1)),
            pauses: pace.pauses,
            places_max,
        })))
    }

    /// For a platform that sends no mails.
    pub fn none() -> Self {
        Self(None)
    }

    /// Names the file that the mails go to.
    pub(super) fn with_file(self, file: PathBuf) -> Self {
        // Nobody else has it yet.
        let inner =
            self.0.and_then(Arc::into_inner).map(|inner| Arc::new(Inner { file: Some(file), ..inner }));
        Self(inner)
    }

    /// Whether mails go anywhere.
    pub fn can_send(&self) -> bool {
        self.0.is_some()
    }

    /// The file that mails are written to.
    pub fn file(&self) -> Option<String> {
        self.0.as_ref()?.file.as_deref().map(Path::to_path_buf).map(|file| shown(&file))
    }

    /// Takes a mail; returns at once. Where no mails are sent it is dropped.
    pub fn post(&self, message: Message) -> Result<(), Full> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let place = Arc::clone(&inner.places).try_acquire_owned().map_err(|_| {
            tracing::error!("The queue of mails is full: is the mail server down?");
            Full
        })?;
        tokio::spawn(deliver(Arc::clone(inner), message, place));
        Ok(())
    }

    /// Waits until no mail is left, delivered or given up.
    pub async fn flushed(&self) {
        if let Some(inner) = &self.0 {
            // All places are free when nobody waits. The semaphore is never closed.
            let _ = inner.places.acquire_many(inner.places_max).await;
        }
    }
}

async fn deliver(inner: Arc<Inner>, message: Message, _place: OwnedSemaphorePermit) {
    let mut pauses = inner.pauses.iter();
    loop {
        let sent = {
            // The semaphore is never closed.
            let _turn = inner.turns.acquire().await;
            inner.mailer.send(&message).await
        };
        let error = match sent {
            Ok(()) => return,
            Err(error) => error,
        };
        match pauses.next().filter(|_| error.is_transient()) {
            Some(pause) => {
                told(&message, &error, "A mail is tried again");
                tokio::time::sleep(*pause).await;
            }
            None => return told(&message, &error, "A mail was given up"),
        }
    }
}

/// The log names the domain only: it is what an operator needs, and no more than that.
fn told(message: &Message, error: &MailError, what: &str) {
    tracing::warn!(error = chain(error), domain = message.to.domain(), "{what}");
}
