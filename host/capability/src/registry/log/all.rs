//! The log as the platform itself follows it: the changes of all namespaces.

use std::sync::Arc;

use micro_api::name::Namespace;
use micro_api::registry::{Action, Service};

use super::{Log, Logged};

/// One change.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) namespace: Namespace,
    pub(crate) action: Action,
    /// Unix milliseconds.
    pub(crate) timestamp: i64,
    pub(crate) service: Arc<Service>,
}

impl Log {
    /// The number of the last change.
    pub(crate) fn newest(&self) -> u64 {
        self.state.lock().revision
    }

    /// The number of the last change before a time, Unix milliseconds.
    pub(crate) fn before(&self, time_ms: i64) -> u64 {
        let state = self.state.lock();
        let later = state.changes.iter().rev().take_while(|change| change.timestamp >= time_ms).count();
        state.revision - later as u64
    }

    /// The change after number `after` and its own, and how many that came between are forgotten.
    pub(crate) fn next(&self, after: u64) -> Option<(u64, Told, u64)> {
        let state = self.state.lock();
        let oldest = state.revision - state.changes.len() as u64;
        let at = after.max(oldest);
        let Logged { namespace, action, timestamp, service } =
            state.changes.get(usize::try_from(at - oldest).ok()?)?;
        let told = Told {
            namespace: namespace.clone(),
            action: *action,
            timestamp: *timestamp,
            service: Arc::clone(service),
        };
        Some((at + 1, told, at - after))
    }

    /// Waits until there is a change after number `after`.
    pub(crate) async fn passes(&self, after: u64) {
        let mut revision = self.revision.subscribe();
        // The sender lives in `self`, so this ends only with a change.
        drop(revision.wait_for(|now| *now > after).await);
    }
}
