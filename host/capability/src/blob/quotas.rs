//! What the namespaces' plans allow.

use std::collections::HashMap;

use micro_api::name::Namespace;
use parking_lot::RwLock;

/// Bytes of blobs that each namespace may hold; one that is not named here may hold what it likes.
#[derive(Debug, Default)]
pub struct Quotas(RwLock<HashMap<Namespace, u64>>);

impl Quotas {
    /// Sets all of them.
    pub fn set(&self, all: HashMap<Namespace, u64>) {
        *self.0.write() = all;
    }

    /// Most bytes, if there is a limit.
    pub fn max(&self, namespace: &Namespace) -> Option<u64> {
        self.0.read().get(namespace).copied()
    }
}
