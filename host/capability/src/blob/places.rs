//! Places among the uploads that run at once.

use std::collections::HashMap;
use std::sync::Arc;

use micro_api::name::Namespace;
use parking_lot::Mutex;

/// How many run, of all namespaces and of each.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Only namespaces that have some.
    of: HashMap<Namespace, usize>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    namespace: Namespace,
}

impl Places {
    /// One for `namespace`, unless all or its own are taken.
    pub(super) fn take(self: &Arc<Self>, namespace: &Namespace, all: usize, own: usize) -> Option<Place> {
        let mut taken = self.0.lock();
        let has = taken.of.get(namespace).copied().unwrap_or(0);
        if taken.all >= all || has >= own {
            return None;
        }
        taken.all += 1;
        taken.of.insert(namespace.clone(), has + 1);
        Some(Place { places: Arc::clone(self), namespace: namespace.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock();
        taken.all -= 1;
        let left = taken.of.get(&self.namespace).map_or(0, |has| has - 1);
        if left == 0 {
            taken.of.remove(&self.namespace);
        } else {
            taken.of.insert(self.namespace.clone(), left);
        }
    }
}
