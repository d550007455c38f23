//! Wakes who waits for a topic.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tokio::sync::watch;

use super::TopicKey;

/// Topics share them, so that their number is bounded: a wrong ring costs its hearer one read.
const BELLS: usize = 256;

#[derive(Debug)]
pub(crate) struct Bells(Vec<watch::Sender<u64>>);

impl Default for Bells {
    fn default() -> Self {
        Self((0..BELLS).map(|_| watch::Sender::new(0)).collect())
    }
}

impl Bells {
    pub(crate) fn of(&self, topic: &TopicKey) -> watch::Receiver<u64> {
        // There is always one: the index is less than their number.
        self.0.get(index(topic)).map_or_else(|| watch::Sender::new(0).subscribe(), watch::Sender::subscribe)
    }

    pub(crate) fn ring(&self, topic: &TopicKey) {
        if let Some(bell) = self.0.get(index(topic)) {
            bell.send_modify(|rings| *rings = rings.wrapping_add(1));
        }
    }

    pub(crate) fn ring_all(&self) {
        for bell in &self.0 {
            bell.send_modify(|rings| *rings = rings.wrapping_add(1));
        }
    }
}

fn index(topic: &TopicKey) -> usize {
    let mut hasher = DefaultHasher::new();
    topic.hash(&mut hasher);
    usize::try_from(hasher.finish() % BELLS as u64).unwrap_or(0)
}
