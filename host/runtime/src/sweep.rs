//! Scale to zero: what nobody calls leaves memory.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::revision::Revision;
use crate::runtime::Runtime;

/// How often idle instances and code are looked for.
const PERIOD: Duration = Duration::from_secs(1);

/// Runs until the runtime is dropped.
pub(crate) async fn sweep(runtime: Weak<Runtime>) {
    let mut timer = tokio::time::interval(PERIOD);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let Some(runtime) = runtime.upgrade() else { return };
        runtime.sweep();
    }
}

impl Runtime {
    /// Notes that a revision holds memory, for the sweep.
    pub(crate) fn remember(&self, revision: &Arc<Revision>) {
        let mut warm = self.warm.lock();
        if !warm.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(revision))) {
            warm.push(Arc::downgrade(revision));
        }
    }

    fn sweep(&self) {
        let unload_after = self.config().unload_after;
        for revision in self.warm_revisions() {
            revision.drop_stale();
            if revision.unused_for() >= unload_after && !revision.is_active() {
                revision.drop_instances();
                revision.loaded.store(None);
            }
        }
        self.warm.lock().retain(|known| known.upgrade().is_some_and(|revision| revision.holds_memory()));
    }

    /// Makes room for one more component.
    pub(crate) fn unload_oldest(&self) {
        let warm = self.warm_revisions();
        let idle = warm.iter().filter(|revision| !revision.is_active());
        if let Some(revision) = idle.max_by_key(|revision| revision.unused_for()) {
            revision.drop_instances();
            revision.loaded.store(None);
        }
        self.warm.lock().retain(|known| known.upgrade().is_some_and(|revision| revision.holds_memory()));
    }

    fn warm_revisions(&self) -> Vec<Arc<Revision>> {
        self.warm.lock().iter().filter_map(Weak::upgrade).collect()
    }
}
