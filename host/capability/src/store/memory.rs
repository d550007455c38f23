//! The store in memory: for tests, and for platforms that keep nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Bound, ControlFlow};

use async_trait::async_trait;
use bytes::Bytes;
use micro_api::name::Namespace;
use parking_lot::RwLock;

use super::backend::check_key;
use super::page::{Candidate, Cut, start};
use super::{Backend, Error, Page, Range, Record, TableKey, Want, Write};
use crate::context::unix_ms;

/// Bookkeeping of one record, bytes, charged to the namespace with its key and value.
const RECORD_BYTES: u64 = 128;
/// Expired records that one write clears away.
const SWEEP: usize = 16;
const TABLES_MAX: usize = 10_000;

/// Records of all namespaces, gone with the process.
#[derive(Debug)]
pub struct Memory {
    namespace_bytes_max: u64,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<TableKey, BTreeMap<Bytes, Kept>>,
    /// Exactly the records that expire, by time.
    expiries: BTreeSet<(u64, TableKey, Bytes)>,
    used: HashMap<Namespace, u64>,
}

#[derive(Debug)]
struct Kept {
    value: Bytes,
    expires_ms: Option<u64>,
}

impl Memory {
    /// `namespace_bytes_max` bounds keys, values and bookkeeping of each namespace.
    pub fn new(namespace_bytes_max: u64) -> Self {
        Self { namespace_bytes_max, state: RwLock::default() }
    }
}

impl State {
    fn remove(&mut self, table: &TableKey, key: &[u8]) {
        let Some(records) = self.tables.get_mut(table) else { return };
        let Some((key, kept)) = records.remove_entry(key) else { return };
        if records.is_empty() {
            self.tables.remove(table);
        }
        if let Some(used) = self.used.get_mut(table.namespace()) {
            *used = used.saturating_sub(size(&key, &kept.value));
            if *used == 0 {
                self.used.remove(table.namespace());
            }
        }
        if let Some(at) = kept.expires_ms {
            self.expiries.remove(&(at, table.clone(), key));
        }
    }

    fn sweep(&mut self, now_ms: u64, most: usize) {
        for _ in 0..most {
            match self.expiries.first().cloned() {
                Some((at, table, key)) if at <= now_ms => self.remove(&table, &key),
                _ => return,
            }
        }
    }
}

fn size(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + RECORD_BYTES
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
        state.sweep(now_ms, SWEEP);
        let added = size(&write.key, &write.value);
        let replaced = state.tables.get(table).and_then(|records| records.get(&write.key));
        let freed = replaced.map_or(0, |kept| size(&write.key, &kept.value));
        let used = state.used.get(table.namespace()).copied().unwrap_or(0);
        if used.saturating_sub(freed) + added > self.namespace_bytes_max {
            return Err(Error::Full);
        }
        state.remove(table, &write.key);
        let expires_ms = write.expires_ms(now_ms);
        if let Some(at) = expires_ms {
            state.expiries.insert((at, table.clone(), write.key.clone()));
        }
        *state.used.entry(table.namespace().clone()).or_default() += added;
        let kept = Kept { value: write.value, expires_ms };
        state.tables.entry(table.clone()).or_default().insert(write.key, kept);
        Ok(())
    }

    async fn delete(&self, table: &TableKey, key: &[u8]) -> Result<(), Error> {
        check_key(key)?;
        self.state.write().remove(table, key);
        Ok(())
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
