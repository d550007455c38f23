//! Who waits for which lock in this process, and in which order they are woken.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::super::waiters::Waiting;

/// The bells of those who wait, by the lock's name everywhere. Bounded by [`super::super::WAITERS_MAX`] a namespace.
#[derive(Debug, Default)]
pub(super) struct Queues(Mutex<HashMap<String, VecDeque<Arc<Notify>>>>);

/// A place in a queue. Whoever leaves wakes the next, so that no ring is lost with the one who was to hear it.
#[derive(Debug)]
pub(super) struct Place {
    queues: Arc<Queues>,
    name: String,
    bell: Arc<Notify>,
    counted: Waiting,
}

impl Queues {
    /// The last place of a lock's queue.
    pub(super) fn enter(self: &Arc<Self>, name: String, counted: Waiting) -> Place {
        let bell = Arc::new(Notify::new());
        self.0.lock().entry(name.clone()).or_default().push_back(Arc::clone(&bell));
        Place { queues: Arc::clone(self), name, bell, counted }
    }

    /// Wakes the first who waits for this lock: only one can have it.
    pub(super) fn ring(&self, name: &str) {
        if let Some(bell) = self.0.lock().get(name).and_then(VecDeque::front) {
            bell.notify_one();
        }
    }

    /// Wakes the first of each lock.
    pub(super) fn ring_all(&self) {
        for bell in self.0.lock().values().filter_map(VecDeque::front) {
            bell.notify_one();
        }
    }

    /// Locks that somebody waits for.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl Place {
    pub(super) fn is_first(&self) -> bool {
        let queues = self.queues.0.lock();
        let first = queues.get(&self.name).and_then(VecDeque::front);
        first.is_some_and(|first| Arc::ptr_eq(first, &self.bell))
    }

    /// How many of the namespace wait, itself among them.
    pub(super) fn count(&self) -> usize {
        self.counted.count()
    }

    /// When its bell rings, or has rung since it last waited.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = self.queues.0.lock();
        let Some(queue) = queues.get_mut(&self.name) else { return };
        queue.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
        match queue.front() {
            Some(next) => next.notify_one(),
            None => {
                queues.remove(&self.name);
            }
        }
    }
}
