//! Wakes who waits for a topic.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tokio::sync::watch;

use super::TopicKey;
use crate::bells::Row;

/// Topics share them, so that their number is bounded: a wrong ring costs its hearer one read.
const BELLS: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Bells(Row<BELLS>);

impl Bells {
    pub(crate) fn of(&self, topic: &TopicKey) -> watch::Receiver<u64> {
        self.0.of(index(topic))
    }

    pub(crate) fn ring(&self, topic: &TopicKey) {
        self.0.ring(index(topic));
    }

    pub(crate) fn ring_all(&self) {
        self.0.ring_all();
    }
}

fn index(topic: &TopicKey) -> usize {
    let mut hasher = DefaultHasher::new();
    topic.hash(&mut hasher);
    usize::try_from(hasher.finish() % BELLS as u64).unwrap_or(0)
}
