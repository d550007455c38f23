//! When keys and sessions were used last: noted once a minute at most, and written beside requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use micro_db::credentials::USE_STEP_MS;
use micro_db::{Db, Use, now_ms};
use parking_lot::Mutex;

use super::SESSION_IDLE_MS;

/// However much it is used, a browser's session ends so long after the sign-in.
const SESSION_AGE_MAX_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// Uses that wait for a database that is away.
const WAITING_MAX: usize = 100_000;

/// Uses that no database has yet.
#[derive(Default)]
pub(super) struct Uses(Mutex<Vec<Use>>);

impl Uses {
    pub(super) fn note(&self, notes: &Notes, now_ms: i64) {
        if let Some(used) = notes.note(now_ms) {
            self.0.lock().push(used);
        }
    }

    pub(super) async fn write(&self, db: &Db) -> Result<(), micro_db::Error> {
        let uses = std::mem::take(&mut *self.0.lock());
        if uses.is_empty() {
            return Ok(());
        }
        let written = db.note_uses(&uses, now_ms()).await;
        if written.is_err() {
            let mut waiting = self.0.lock();
            let room = WAITING_MAX.saturating_sub(waiting.len());
            waiting.extend(uses.into_iter().take(room));
        }
        written
    }
}

/// What is noted of the use of a key or a session.
pub(super) struct Notes {
    of: Noted,
    /// The last use that was noted, Unix milliseconds.
    used_ms: AtomicI64,
}

pub(super) enum Noted {
    Key(String),
    Session { id: String, created_ms: i64 },
}

impl Notes {
    pub(super) fn new(of: Noted, used_ms: i64) -> Option<Arc<Self>> {
        Some(Arc::new(Self { of, used_ms: AtomicI64::new(used_ms) }))
    }

    /// A use to be written; none when one was noted a moment ago.
    fn note(&self, now_ms: i64) -> Option<Use> {
        let used_ms = self.used_ms.load(Ordering::Relaxed);
        let due = now_ms - used_ms >= USE_STEP_MS;
        // Of those that come at once, one notes it.
        let mine = due
            && self.used_ms.compare_exchange(used_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        mine.then(|| match &self.of {
            Noted::Key(id) => Use::Key(id.clone()),
            Noted::Session { id, created_ms } => Use::Session {
                id: id.clone(),
                expires_ms: (now_ms + SESSION_IDLE_MS).min(created_ms + SESSION_AGE_MAX_MS),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_noted_once_a_minute_and_a_session_lives_on_to_its_age() {
        let created_ms = 1_000_000;
        let notes = Notes::new(Noted::Session { id: "s".to_owned(), created_ms }, created_ms).unwrap();
        assert_eq!(notes.note(created_ms + USE_STEP_MS - 1), None);
        let used = |expires_ms| Some(Use::Session { id: "s".to_owned(), expires_ms });
        let now_ms = created_ms + USE_STEP_MS;
        assert_eq!(notes.note(now_ms), used(now_ms + SESSION_IDLE_MS));
        assert_eq!(notes.note(now_ms + 1), None);
        let end_ms = created_ms + SESSION_AGE_MAX_MS;
        assert_eq!(notes.note(end_ms - 1), used(end_ms));
    }
}
