//! The store in memory.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::Error;
use crate::store::{Change, Check, Range, Record};

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

    pub(crate) fn increment(&mut self, key: String, delta: i64, ttl: Option<Duration>) -> Result<i64, Error> {
        let live = self.get(&key);
        let before = live.as_ref().map_or(Some(0), |live| number(&live.value));
        let refused = |detail| Error::bad_request("go.micro.store", detail);
        let before =
            before.ok_or_else(|| refused("the value is not the decimal text of a 64-bit integer"))?;
        let sum = before.checked_add(delta).ok_or_else(|| refused("the sum is beyond a 64-bit integer"))?;
        let value = sum.to_string().into_bytes();
        match self.0.get_mut(&key) {
            Some(kept) if live.is_some() => kept.0 = value,
            _ => self.set(key, value, ttl),
        }
        Ok(sum)
    }

    pub(crate) fn commit(&mut self, checks: &[Check], changes: Vec<Change>) -> bool {
        let holds = |check: &Check| self.get(&check.key).map(|live| live.value) == check.value;
        if !checks.iter().all(holds) {
            return false;
        }
        for change in changes {
            match change.write {
                Some((value, ttl)) => self.set(change.key, value, ttl),
                None => self.delete(&change.key),
            }
        }
        true
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

/// Written as an `i64` is, and in no other way.
fn number(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn record(key: &str, value: &[u8], expires: Option<Instant>) -> Option<Record> {
    let expiry = match expires {
        Some(at) => Some(at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?),
        None => None,
    };
    Some(Record { key: key.to_owned(), value: value.to_vec(), expiry })
}
