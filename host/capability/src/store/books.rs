//! What namespaces may hold in the store, and what they hold: shared by a backend and by whoever keeps the books.

use std::collections::HashMap;
use std::sync::Arc;

use micro_api::name::Namespace;
use parking_lot::{Mutex, RwLock};

/// Bookkeeping of one record, bytes, counted with its key and value.
pub(crate) const RECORD_BYTES: u64 = 128;

/// Limits by namespace, and the tables whose size changed.
#[derive(Debug, Default)]
pub struct Books {
    limits: RwLock<Arc<HashMap<Namespace, u64>>>,
    changed: Mutex<HashMap<(Namespace, String), u64>>,
}

impl Books {
    /// Sets what namespaces may hold, bytes of keys, values and bookkeeping; all others as much as the backend takes.
    pub fn limit(&self, limits: HashMap<Namespace, u64>) {
        *self.limits.write() = Arc::new(limits);
    }

    /// Tables whose size changed since the last call, with what they hold now: (namespace, table, bytes).
    pub fn take_changed(&self) -> Vec<(Namespace, String, u64)> {
        let changed = std::mem::take(&mut *self.changed.lock());
        changed.into_iter().map(|((namespace, table), bytes)| (namespace, table, bytes)).collect()
    }

    /// What a namespace may hold.
    pub(crate) fn max(&self, namespace: &Namespace) -> Option<u64> {
        self.limits.read().get(namespace).copied()
    }

    /// A table holds so much now.
    pub(crate) fn note(&self, namespace: &Namespace, table: String, bytes: u64) {
        self.changed.lock().insert((namespace.clone(), table), bytes);
    }
}

/// The size of a record.
pub(crate) fn record_bytes(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + RECORD_BYTES
}
