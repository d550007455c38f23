//! Wakes who waits for a group, on whichever node something came for it.
//!
//! Scripts ring by publishing numbers of bells on one channel, to which each process listens over one connection. Who
//! waits looks each second all the same: a ring that is lost costs a second.

use std::sync::Arc;

use tokio::sync::watch;

use crate::bells::Row;
use crate::redis::{Heard, Hearing, Redis as Server};

/// Groups share them, so that their number is bounded: a wrong ring costs its hearer one look.
pub(super) const BELLS: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Bells(Row<BELLS>);

impl Bells {
    pub(super) fn of(&self, bell: usize) -> watch::Receiver<u64> {
        self.0.of(bell)
    }

    /// Those that a message names, by their numbers with spaces between.
    fn ring(&self, numbers: &str) {
        numbers.split(' ').filter_map(|number| number.parse().ok()).for_each(|bell| self.0.ring(bell));
    }

    /// Rings as the scripts say.
    pub(super) fn follow(self: &Arc<Self>, server: &Arc<Server>, channel: String) -> Hearing {
        let bells = Arc::clone(self);
        server.hear(channel, move |heard| match heard {
            // What is no text names no bell.
            Heard::Message(numbers) => bells.ring(std::str::from_utf8(numbers).unwrap_or_default()),
            // Whatever was rung while nobody heard it.
            Heard::Begins => bells.0.ring_all(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_that_are_named_ring() {
        let bells = Bells::default();
        let mut all: Vec<_> = (0..BELLS).map(|number| bells.of(number)).collect();
        let mut rang = || {
            let rang = all.iter_mut().enumerate().filter_map(|(number, bell)| {
                let rang = bell.has_changed().unwrap();
                bell.mark_unchanged();
                rang.then_some(number)
            });
            rang.collect::<Vec<_>>()
        };
        bells.ring("3 1023 1024 x -1  99999999999999999999");
        assert_eq!(rang(), [3, 1023]);
        bells.ring("");
        assert!(rang().is_empty());
        bells.0.ring_all();
        assert_eq!(rang().len(), BELLS);
    }
}
