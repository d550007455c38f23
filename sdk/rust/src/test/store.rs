//! The store in memory.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::store::{Range, Record};

/// What one answer holds at most.
const PAGE: usize = 1000;

#[derive(Default)]
pub(crate) struct Table(BTreeMap<String, (Vec<u8>, Option<Instant>)>);

impl Table {
    pub(crate) fn get(&self, key: &str) -> Option<Record> {
        let (value, expires) = self.0.get(key)?;
        record(key, value, *expires)
    }

    pub(crate) fn set(&mut self, key: String, value: Vec<u8>, ttl: Option<Duration>) {
        let expires = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
        self.0.insert(key, (value, expires));
    }

    pub(crate) fn delete(&mut self, key: &str) {
        self.0.remove(key);
    }

    pub(crate) fn read(&self, range: &Range) -> Vec<Record> {
        let limit = range.limit.map_or(PAGE, |limit| PAGE.min(limit as usize));
        let begins = |key: &str| range.prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix));
        let ends = |key: &str| range.suffix.as_deref().is_none_or(|suffix| key.ends_with(suffix));
        let after = |key: &str| range.after.as_deref().is_none_or(|after| key > after);
        self.0
            .iter()
            .filter(|(key, _)| begins(key) && ends(key) && after(key))
            .filter_map(|(key, (value, expires))| record(key, value, *expires))
            .skip(range.offset as usize)
            .take(limit)
            .collect()
    }
}

fn record(key: &str, value: &[u8], expires: Option<Instant>) -> Option<Record> {
    let expiry = match expires {
        Some(at) => Some(at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?),
        None => None,
    };
    Some(Record { key: key.to_owned(), value: value.to_vec(), expiry })
}
