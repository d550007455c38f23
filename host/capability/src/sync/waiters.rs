//! How many calls of each namespace wait.

use std::collections::HashMap;
use std::sync::Arc;

use micro_api::name::Namespace;
use parking_lot::Mutex;

use super::{Error, WAITERS_MAX};

/// Counts who waits, and holds each namespace to [`WAITERS_MAX`]. Knows only namespaces of which somebody waits.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<HashMap<Namespace, usize>>);

/// One that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    all: Arc<Waiters>,
    namespace: Namespace,
}

impl Waiters {
    /// One more waits, until the answer is dropped.
    pub(super) fn enter(self: &Arc<Self>, namespace: &Namespace) -> Result<Waiting, Error> {
        let mut counts = self.0.lock();
        let count = counts.entry(namespace.clone()).or_default();
        if *count >= WAITERS_MAX {
            return Err(Error::Waiters);
        }
        *count += 1;
        Ok(Waiting { all: Arc::clone(self), namespace: namespace.clone() })
    }

    /// How many namespaces have somebody who waits.
    #[cfg(test)]
    pub(super) fn namespaces(&self) -> usize {
        self.0.lock().len()
    }
}

impl Waiting {
    /// How many of the namespace wait, itself among them.
    pub(super) fn count(&self) -> usize {
        self.all.0.lock().get(&self.namespace).copied().unwrap_or(0)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock();
        if let Some(count) = counts.get_mut(&self.namespace) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_its_own_places_and_gets_them_back() {
        let waiters = Arc::<Waiters>::default();
        let (one, two) = ("one".parse().unwrap(), "two".parse().unwrap());
        let mut all: Vec<_> = (0..WAITERS_MAX).map(|_| waiters.enter(&one).unwrap()).collect();
        assert!(matches!(waiters.enter(&one), Err(Error::Waiters)));
        let other = waiters.enter(&two).unwrap();
        assert_eq!((all[0].count(), other.count()), (WAITERS_MAX, 1));
        all.pop();
        all.push(waiters.enter(&one).unwrap());
        drop((all, other));
        assert_eq!(waiters.namespaces(), 0);
    }
}
