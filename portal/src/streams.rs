//! How many live streams are open, in all and by session.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::{STREAMS_MAX, STREAMS_PER_SESSION_MAX};

#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_session: HashMap<String, usize>,
}

/// The right to hold one stream open; it ends with the value.
#[derive(Debug)]
pub(crate) struct Ticket {
    open: Arc<Mutex<Open>>,
    session: String,
}

impl Streams {
    /// `None`: there are too many already.
    pub(crate) fn open(&self, session: &str) -> Option<Ticket> {
        let mut open = self.open.lock();
        let own = open.by_session.get(session).copied().unwrap_or(0);
        if open.total >= STREAMS_MAX || own >= STREAMS_PER_SESSION_MAX {
            return None;
        }
        open.total += 1;
        open.by_session.insert(session.to_owned(), own + 1);
        drop(open);
        Some(Ticket { open: Arc::clone(&self.open), session: session.to_owned() })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        open.total = open.total.saturating_sub(1);
        if let Entry::Occupied(mut own) = open.by_session.entry(std::mem::take(&mut self.session)) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_a_bounded_number_of_streams() {
        let streams = Streams::default();
        let mut tickets: Vec<_> = (0..STREAMS_PER_SESSION_MAX).map(|_| streams.open("a").unwrap()).collect();
        assert!(streams.open("a").is_none());
        assert!(streams.open("b").is_some(), "one session's streams counted for another");
        tickets.pop();
        assert!(streams.open("a").is_some());
        drop(tickets);
        assert!(streams.open.lock().by_session.is_empty(), "a session is remembered after its last stream");
    }

    #[test]
    fn all_sessions_together_are_bounded() {
        let streams = Streams::default();
        let tickets: Vec<_> =
            (0..STREAMS_MAX).map(|at| streams.open(&(at / 4).to_string()).unwrap()).collect();
        assert!(streams.open("new").is_none());
        drop(tickets);
        assert!(streams.open("new").is_some());
    }
}
