//! The store in memory: for tests, and for platforms that keep nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use micro_api::name::Namespace;
use parking_lot::RwLock;

use super::backend::check_key;
use super::books::{Books, record_bytes};
use super::page::{Candidate, Cut, start};
use super::transaction::{self, Change, Check};
use super::{Backend, Error, Page, Range, Record, TableKey, Want, Write};
use crate::context::unix_ms;

/// Expired records that one write clears away.
const SWEEP: usize = 16;
const TABLES_MAX: usize = 10_000;

/// Records of all namespaces, gone with the process.
#[derive(Debug)]
pub struct Memory {
    namespace_bytes_max: u64,
    books: Arc<Books>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<TableKey, BTreeMap<Bytes, Kept>>,
    /// Exactly the records that expire, by time.
    expiries: BTreeSet<(u64, TableKey, Bytes)>,
    used: HashMap<Namespace, u64>,
    /// Of each table.
    sizes: HashMap<TableKey, u64>,
}

#[derive(Debug)]
struct Kept {
    value: Bytes,
    expires_ms: Option<u64>,
}

impl Memory {
    /// `namespace_bytes_max` bounds keys, values and bookkeeping of each namespace.
    pub fn new(namespace_bytes_max: u64) -> Self {
        Self::with_books(namespace_bytes_max, Arc::default())
    }

    /// Also keeps to the limits of `books`, and says there what changed.
    pub fn with_books(namespace_bytes_max: u64, books: Arc<Books>) -> Self {
        Self { namespace_bytes_max, books, state: RwLock::default() }
    }

    /// Whether the namespace has room for `added` bytes in place of `freed`.
    fn admit(&self, state: &State, table: &TableKey, freed: u64, added: u64) -> Result<(), Error> {
        let used = state.used.get(table.namespace()).copied().unwrap_or(0);
        let after = used.saturating_sub(freed) + added;
        if added > freed && after > self.namespace_bytes_max {
            return Err(Error::Full);
        }
        // What is over its limit, because its plan became smaller, may still shrink.
        let max = self.books.max(table.namespace());
        match max.filter(|max| added > freed && after > *max) {
            Some(max) => Err(Error::Quota(max)),
            None => Ok(()),
        }
    }
}

impl State {
    fn live(&self, table: &TableKey, key: &[u8], now_ms: u64) -> Option<&Kept> {
        let kept = self.tables.get(table).and_then(|records| records.get(key));
        kept.filter(|kept| kept.expires_ms.is_none_or(|at| at > now_ms))
    }

    /// What a record takes up, expired or not.
    fn held(&self, table: &TableKey, key: &[u8]) -> u64 {
        let kept = self.tables.get(table).and_then(|records| records.get(key));
        kept.map_or(0, |kept| record_bytes(key, &kept.value))
    }

    fn put(&mut self, table: &TableKey, key: Bytes, kept: Kept, books: &Books) {
        self.remove(table, &key, books);
        if let Some(at) = kept.expires_ms {
            self.expiries.insert((at, table.clone(), key.clone()));
        }
        let added = record_bytes(&key, &kept.value);
        *self.used.entry(table.namespace().clone()).or_default() += added;
        let size = self.sizes.entry(table.clone()).or_default();
        *size += added;
        books.note(table.namespace(), table.table().to_owned(), *size);
        self.tables.entry(table.clone()).or_default().insert(key, kept);
    }

    fn remove(&mut self, table: &TableKey, key: &[u8], books: &Books) {
        let Some(records) = self.tables.get_mut(table) else { return };
        let Some((key, kept)) = records.remove_entry(key) else { return };
        if records.is_empty() {
            self.tables.remove(table);
        }
        let freed = record_bytes(&key, &kept.value);
        if let Some(size) = self.sizes.get_mut(table) {
            *size = size.saturating_sub(freed);
            books.note(table.namespace(), table.table().to_owned(), *size);
            if *size == 0 {
                self.sizes.remove(table);
            }
        }
        if let Some(used) = self.used.get_mut(table.namespace()) {
            *used = used.saturating_sub(freed);
            if *used == 0 {
                self.used.remove(table.namespace());
            }
        }
        if let Some(at) = kept.expires_ms {
            self.expiries.remove(&(at, table.clone(), key));
        }
    }

    fn sweep(&mut self, now_ms: u64, most: usize, books: &Books) {
        for _ in 0..most {
            match self.expiries.first().cloned() {
                Some((at, table, key)) if at <= now_ms => self.remove(&table, &key, books),
                _ => return,
            }
        }
    }
}

#[async_trait]
impl Backend for Memory {
    async fn get(&self, table: &TableKey, key: &[u8]) -> Result<Option<Record>, Error> {
        check_key(key)?;
        let state = self.state.read();
        let found = state.tables.get(table).and_then(|records| records.get_key_value(key));
        let live = found.filter(|(_, kept)| kept.expires_ms.is_none_or(|at| at > unix_ms()));
        Ok(live.map(|(key, kept)| Record {
            key: key.clone(),
            value: kept.value.clone(),
            expires_ms: kept.expires_ms,
        }))
    }

    async fn set(&self, table: &TableKey, write: Write) -> Result<(), Error> {
        write.check()?;
        let now_ms = unix_ms();
        let mut state = self.state.write();
        state.sweep(now_ms, SWEEP, &self.books);
        let added = record_bytes(&write.key, &write.value);
        let freed = state.held(table, &write.key);
        self.admit(&state, table, freed, added)?;
        let expires_ms = write.expires_ms(now_ms);
        state.put(table, write.key, Kept { value: write.value, expires_ms }, &self.books);
        Ok(())
    }

    async fn delete(&self, table: &TableKey, key: &[u8]) -> Result<(), Error> {
        check_key(key)?;
        self.state.write().remove(table, key, &self.books);
        Ok(())
    }

    async fn increment(
        &self,
        table: &TableKey,
        key: &[u8],
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, Error> {
        check_key(key)?;
        let now_ms = unix_ms();
        let mut state = self.state.write();
        state.sweep(now_ms, SWEEP, &self.books);
        let live = state.live(table, key, now_ms);
        let sum = transaction::sum(live.map(|kept| kept.value.as_ref()), delta)?;
        let expires_ms =
            live.map_or_else(|| ttl_ms.map(|ttl| now_ms.saturating_add(ttl)), |kept| kept.expires_ms);
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::from(sum.to_string()));
        self.admit(&state, table, state.held(table, &key), record_bytes(&key, &value))?;
        state.put(table, key, Kept { value, expires_ms }, &self.books);
        Ok(sum)
    }

    async fn commit(
        &self,
        table: &TableKey,
        checks: Vec<Check>,
        changes: Vec<Change>,
    ) -> Result<bool, Error> {
        transaction::check(&checks, &changes)?;
        let now_ms = unix_ms();
        let mut state = self.state.write();
        state.sweep(now_ms, SWEEP, &self.books);
        let live = |key: &[u8]| state.live(table, key, now_ms).map(|kept| kept.value.as_ref());
        if !checks.iter().all(|check| check.holds(live(&check.key))) {
            return Ok(false);
        }
        let freed = changes.iter().map(|change| state.held(table, change.key())).sum();
        let added = changes.iter().map(Change::bytes).sum();
        self.admit(&state, table, freed, added)?;
        for change in changes {
            match change {
                Change::Set(write) => {
                    let expires_ms = write.expires_ms(now_ms);
                    state.put(table, write.key, Kept { value: write.value, expires_ms }, &self.books);
                }
                Change::Delete(key) => state.remove(table, &key, &self.books),
            }
        }
        Ok(true)
    }

    async fn scan(&self, table: &TableKey, range: Range, want: Want) -> Result<Page, Error> {
        let state = self.state.read();
        let mut cut = Cut::new(&range, want, unix_ms());
        let records = state.tables.get(table).into_iter();
        for (key, kept) in records.flat_map(|all| all.range::<[u8], _>((start(&range), Bound::Unbounded))) {
            let candidate = Candidate { key, value_bytes: kept.value.len(), expires_ms: kept.expires_ms };
            let record = || {
                let value = if want == Want::Keys { Bytes::new() } else { kept.value.clone() };
                Ok((key.clone(), value))
            };
            if let ControlFlow::Break(()) = cut.offer(&candidate, record)? {
                break;
            }
        }
        Ok(cut.finish())
    }

    async fn tables(&self, namespace: &Namespace) -> Result<Vec<String>, Error> {
        let state = self.state.read();
        let now_ms = unix_ms();
        let lives = |kept: &Kept| kept.expires_ms.is_none_or(|at| at > now_ms);
        let of_namespace = state.tables.iter().filter(|(key, _)| key.namespace() == namespace);
        let live = of_namespace.filter(|(_, records)| records.values().any(lives));
        Ok(live.map(|(key, _)| key.table().to_owned()).take(TABLES_MAX).collect())
    }
}
