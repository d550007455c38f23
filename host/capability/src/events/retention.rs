//! How long events are kept.

use std::collections::HashMap;

use micro_api::name::Namespace;
use parking_lot::RwLock;

/// What a namespace may keep. The older event goes first, acknowledged or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long an event is kept, milliseconds.
    pub age_ms: u64,
    /// Payloads, metadata and 128 bytes an event, over all topics.
    pub bytes: u64,
}

impl Default for Retention {
    /// 7 days and 256 MiB.
    fn default() -> Self {
        Self { age_ms: 7 * 86_400_000, bytes: 256 << 20 }
    }
}

/// The retention of each namespace.
#[derive(Debug, Default)]
pub struct Plans {
    default: Retention,
    of: RwLock<HashMap<Namespace, Retention>>,
}

impl Plans {
    /// With a retention for the namespaces that have none of their own.
    pub fn new(default: Retention) -> Self {
        Self { default, of: RwLock::default() }
    }

    /// Replaces what the namespaces may keep.
    pub fn limit(&self, of: HashMap<Namespace, Retention>) {
        *self.of.write() = of;
    }

    /// What the namespace may keep.
    pub fn of(&self, namespace: &Namespace) -> Retention {
        self.of.read().get(namespace).copied().unwrap_or(self.default)
    }
}
