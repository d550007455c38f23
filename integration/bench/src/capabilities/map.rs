//! What keeps something in memory without us: a map of the standard library behind a lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use uuid::Uuid;

use super::floor::Floor;
use super::looper::{key, name, value};

/// Values by key, in order.
#[derive(Clone)]
pub(super) struct Map(Arc<RwLock<BTreeMap<Bytes, Bytes>>>);

impl Map {
    pub(super) fn filled(keys: u64, bytes: u64) -> Self {
        let value = Bytes::from(value(bytes));
        let all = (0..keys).map(|number| (Bytes::from(name(number)), value.clone()));
        Self(Arc::new(RwLock::new(all.collect())))
    }

    pub(super) fn get(&self, keys: u64) -> Floor {
        let map = Arc::clone(&self.0);
        Floor::new(move |number| {
            let map = Arc::clone(&map);
            async move {
                let key = key(number, keys);
                let found = map.read().unwrap_or_else(PoisonError::into_inner).get(key.as_bytes()).cloned();
                found.map(drop).context("a key is missing")
            }
        })
    }

    pub(super) fn set(&self, keys: u64, bytes: u64) -> Floor {
        let (map, value) = (Arc::clone(&self.0), Bytes::from(value(bytes)));
        Floor::new(move |number| {
            let (map, key) = (Arc::clone(&map), Bytes::from(key(number, keys)));
            // A guest's value is copied out of its memory; the floor's is made anew, too.
            let value = Bytes::copy_from_slice(&value);
            async move {
                map.write().unwrap_or_else(PoisonError::into_inner).insert(key, value);
                Ok(())
            }
        })
    }
}

/// Takes and gives back one of so many locks: a token in a map.
pub(super) fn locks(keys: u64) -> Floor {
    let held = Arc::<Mutex<HashMap<String, (String, Instant)>>>::default();
    Floor::new(move |number| {
        let held = Arc::clone(&held);
        async move {
            let (key, token) = (name(number % keys), Uuid::new_v4().simple().to_string());
            let until = Instant::now() + Duration::from_secs(60);
            let before = guard(&held).insert(key.clone(), (token.clone(), until));
            ensure!(before.is_none(), "somebody holds the lock");
            let was = guard(&held).remove(&key);
            ensure!(was.is_some_and(|(by, _)| by == token), "nobody holds the lock");
            Ok(())
        }
    })
}

fn guard<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads one of so many entries of a JSON document, as text.
pub(super) fn document(document: serde_json::Value, within: &'static str, keys: u64) -> Floor {
    let document = Arc::new(RwLock::new(Arc::new(document)));
    Floor::new(move |number| {
        let document = Arc::clone(&document);
        async move {
            let now = Arc::clone(&document.read().unwrap_or_else(PoisonError::into_inner));
            let found = now.get(within).and_then(|own| own.get(key(number, keys)));
            found.map(ToString::to_string).map(drop).context("a key is missing")
        }
    })
}

/// Copies one of so many records.
pub(super) fn records<T: Clone + Send + Sync + 'static>(all: Arc<HashMap<String, T>>, keys: u64) -> Floor {
    let all = Arc::new(RwLock::new(all));
    Floor::new(move |number| {
        let all = Arc::clone(&all);
        async move {
            let now = Arc::clone(&all.read().unwrap_or_else(PoisonError::into_inner));
            now.get(&key(number, keys)).cloned().map(drop).context("a record is missing")
        }
    })
}
