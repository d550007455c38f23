//! The store in Redis: nodes that name the same server and prefix share their records.
//!
//! Every call is one script and one round trip: it writes the record, counts its size and holds the namespace to its
//! limit in one moment. The time that decides what has expired is the server's. Calls that mean the same when they are
//! made twice are tried again on another connection; to add and to commit are made once.

mod names;
mod scripts;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::convert::Infallible;
use std::future::Future;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use micro_api::name::Namespace;
use quick_cache::sync::Cache;

use super::backend::check_key;
use super::books::Books;
use super::page::{Glimpse, WINDOW, Windows, walk};
use super::transaction::{self, Change, Check};
use super::writes::{Writes, note};
use super::{Backend, Error, Page, Range, Record, TableKey, Want, Write};
use crate::context::unix_ms;
use crate::keeping::keep_clean;
use crate::redis::{Call, Failure, Redis as Server, RedisConfig, Script};
use names::Names;
use scripts::Scripts;

/// Records that one sweep of a table removes, and tables that are looked at at once.
const SWEEP: usize = 1_000;
const SWEEP_TABLES: usize = 64;
/// Sweeps in a row, so that one that finds more each time ends.
const SWEEPS_MAX: usize = 1_000;
const TABLES_MAX: usize = 10_000;
/// Tables whose names are known; those of others are made anew.
const NAMES_MAX: usize = 1_024;
/// Longest time to live, milliseconds: the server's numbers are exact up to there. Some 30 000 years.
const TTL_MS_MAX: u64 = 1_000_000_000_000_000;

/// Where the store is, and its bounds.
#[derive(Debug, Clone)]
pub struct RedisStoreConfig {
    /// The server.
    pub server: RedisConfig,
    /// How often expired records are removed; they are invisible before.
    pub sweep_every: Duration,
    /// What namespaces may hold; told what they hold.
    pub books: Arc<Books>,
}

impl RedisStoreConfig {
    /// The defaults: those of [`RedisConfig`], and a sweep each second.
    pub fn new(url: impl Into<String>) -> Self {
        Self { server: RedisConfig::new(url), sweep_every: Duration::from_secs(1), books: Arc::default() }
    }
}

/// Key-value records in Redis.
#[derive(Debug)]
pub struct Redis {
    server: Arc<Server>,
    scripts: Scripts,
    books: Arc<Books>,
    writes: Writes,
    /// Of tables that are in use.
    names: Cache<TableKey, Arc<Names>>,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away(reason) => Self::Away(reason),
            Failure::Unknown(reason) => Self::Unknown(reason),
            Failure::Busy => Self::Busy,
            Failure::Full => Self::Full,
            Failure::Wrong(reason) => Self::Backend(reason),
        }
    }
}

impl Redis {
    /// Connects, reads what the server's settings are worth, and begins to sweep.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, is a replica or part of a cluster, or would throw records away when
    /// its memory is full.
    pub async fn open(config: &RedisStoreConfig) -> Result<Arc<Self>, Error> {
        let store = Arc::new(Self {
            server: Server::open(&config.server).await?,
            scripts: Scripts::new(),
            books: Arc::clone(&config.books),
            writes: Writes::default(),
            names: Cache::new(NAMES_MAX),
        });
        keep_clean(
            &store,
            config.sweep_every,
            "Expired records of the store cannot be removed",
            |store| async move { store.clean().await },
        );
        Ok(store)
    }

    /// A script on a table; its own arguments come after.
    fn call<'a>(&self, script: &'a Script, table: &TableKey) -> Call<'a> {
        let names = self.names(table);
        Call::script(script, &names.keys).arg(&names.table).arg(&names.member)
    }

    fn names(&self, table: &TableKey) -> Arc<Names> {
        let make = || Ok::<_, Infallible>(Arc::new(Names::of(self.server.prefix(), table)));
        let Ok(names) = self.names.get_or_insert_with(table, make);
        names
    }

    /// What the plan allows, as the scripts take it.
    fn most(&self, table: &TableKey) -> (u64, String) {
        let max = self.books.max(table.namespace());
        (max.unwrap_or(0), max.map(|max| max.to_string()).unwrap_or_default())
    }

    /// Makes a write, whose answer ends with what the table holds then, and tells the books; less than 0: nothing
    /// changed.
    async fn written<T>(
        &self,
        table: &TableKey,
        write: impl Future<Output = Result<(T, i64), Failure>>,
    ) -> Result<T, Error> {
        self.writes.counted(&self.books, table, write, self.size(table)).await
    }

    async fn size(&self, table: &TableKey) -> Result<i64, Error> {
        Ok(self.server.retried(&self.call(&self.scripts.size, table)).await?)
    }

    /// Removes what has expired, and reads the sizes of tables that are written to without a pause.
    async fn clean(&self) -> Result<(), Error> {
        let mut changed: HashSet<TableKey> = self.writes.of_several().into_iter().collect();
        for _ in 0..SWEEPS_MAX {
            let keys = names::of_all(self.server.prefix());
            let due = Call::script(&self.scripts.due, &keys).arg("").arg("").arg(SWEEP_TABLES);
            let members: Vec<String> = self.server.retried(&due).await?;
            let due: Vec<_> = members.iter().filter_map(|member| names::table(member)).collect();
            if due.is_empty() {
                break;
            }
            for table in due {
                let sweep = self.call(&self.scripts.sweep, &table).arg(SWEEP);
                let (_, _bytes): (u64, i64) = self.server.retried(&sweep).await?;
                changed.insert(table);
            }
        }
        for table in changed {
            let bytes = self.size(&table).await?;
            note(&self.books, &table, bytes);
        }
        Ok(())
    }
}

#[async_trait]
impl Windows for Redis {
    async fn window(
        &self,
        table: &TableKey,
        from: Bound<&[u8]>,
        end: Option<&[u8]>,
    ) -> Result<Vec<Glimpse>, Error> {
        let from = match from {
            Bound::Included(key) => [b"[", key].concat(),
            Bound::Excluded(key) => [b"(", key].concat(),
            Bound::Unbounded => b"-".to_vec(),
        };
        let end = end.map_or_else(|| b"+".to_vec(), |end| [b"(", end].concat());
        let window = self.call(&self.scripts.window, table).arg(from).arg(end).arg(WINDOW);
        let (keys, lengths, left): (Vec<Vec<u8>>, Vec<u64>, Vec<Option<i64>>) =
            self.server.retried(&window).await?;
        Ok(keys.into_iter().zip(lengths).zip(left).map(|((key, length), left)| (key, length, left)).collect())
    }

    async fn fill(&self, table: &TableKey, page: &mut Page) -> Result<(), Error> {
        let mut call = ::redis::cmd("HMGET");
        call.arg(&self.names(table).keys[0]);
        for record in &page.records {
            call.arg(&record.key[..]);
        }
        let found: Vec<Option<Vec<u8>>> = self.server.retried(&Call::plain(call)).await?;
        let mut values = found.into_iter();
        page.records.retain_mut(|record| match values.next().flatten() {
            Some(value) => {
                record.value = value.into();
                true
            }
            None => false,
        });
        Ok(())
    }
}

#[async_trait]
impl Backend for Redis {
    async fn get(&self, table: &TableKey, key: &[u8]) -> Result<Option<Record>, Error> {
        check_key(key)?;
        let get = self.call(&self.scripts.get, table).arg(key);
        let found: Option<(Vec<u8>, Option<i64>)> = self.server.retried(&get).await?;
        Ok(found.map(|(value, left_ms)| Record {
            key: Bytes::copy_from_slice(key),
            value: value.into(),
            expires_ms: left_ms.map(here),
        }))
    }

    async fn set(&self, table: &TableKey, write: Write) -> Result<(), Error> {
        write.check()?;
        let (max, most) = self.most(table);
        let put = self.call(&self.scripts.put, table).arg(&write.key[..]).arg(&write.value[..]);
        let put = put.arg(ttl(write.ttl_ms)).arg(most);
        let put = async { self.server.retried::<i64>(&put).await.map(|bytes| (bytes, bytes)) };
        if self.written(table, put).await? < 0 { Err(Error::Quota(max)) } else { Ok(()) }
    }

    async fn delete(&self, table: &TableKey, key: &[u8]) -> Result<(), Error> {
        check_key(key)?;
        let remove = self.call(&self.scripts.remove, table).arg(key);
        let remove = async { self.server.retried::<i64>(&remove).await.map(|bytes| ((), bytes)) };
        self.written(table, remove).await
    }

    async fn increment(
        &self,
        table: &TableKey,
        key: &[u8],
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, Error> {
        check_key(key)?;
        let (max, most) = self.most(table);
        let add = self.call(&self.scripts.add, table).arg(key).arg(delta).arg(ttl(ttl_ms)).arg(most);
        let add = async {
            let (state, sum, bytes): (i64, i64, i64) = self.server.once(&add).await?;
            Ok(((state, sum), bytes))
        };
        match self.written(table, add).await? {
            (0, sum) => Ok(sum),
            (1, _) => Err(Error::Quota(max)),
            (2, _) => Err(Error::Number),
            _ => Err(Error::Overflow),
        }
    }

    async fn commit(
        &self,
        table: &TableKey,
        checks: Vec<Check>,
        changes: Vec<Change>,
    ) -> Result<bool, Error> {
        transaction::check(&checks, &changes)?;
        let (max, most) = self.most(table);
        let mut call = self.call(&self.scripts.commit, table).arg(most).arg(checks.len()).arg(changes.len());
        for check in &checks {
            let value = check.value.as_deref();
            call = call.arg(&check.key[..]).arg(i32::from(value.is_some())).arg(value.unwrap_or_default());
        }
        for change in &changes {
            call = call.arg(&change.key()[..]);
            call = match change {
                Change::Set(write) => call.arg("set").arg(&write.value[..]).arg(ttl(write.ttl_ms)),
                Change::Delete(_) => call.arg("delete").arg("").arg(""),
            };
        }
        match self.written(table, self.server.once::<(i64, i64)>(&call)).await? {
            0 => Ok(true),
            1 => Err(Error::Quota(max)),
            _ => Ok(false),
        }
    }

    async fn scan(&self, table: &TableKey, range: Range, want: Want) -> Result<Page, Error> {
        walk(self, table, &range, want).await
    }

    async fn tables(&self, namespace: &Namespace) -> Result<Vec<String>, Error> {
        let prefix = self.server.prefix();
        let sizes = names::sizes(prefix, namespace);
        let mut found = BTreeSet::new();
        let mut cursor = 0_u64;
        loop {
            let mut scan = ::redis::cmd("HSCAN");
            scan.arg(&sizes).arg(cursor).arg("COUNT").arg(WINDOW);
            let (next, fields): (u64, HashMap<String, i64>) = self.server.retried(&Call::plain(scan)).await?;
            let tables: Vec<TableKey> =
                fields.keys().filter_map(|name| names::named(namespace, name)).collect();
            let keys: Vec<String> = tables
                .iter()
                .flat_map(|table| {
                    let [_, order, expiries, ..] = Names::of(prefix, table).keys;
                    [order, expiries]
                })
                .collect();
            let lives = Call::script(&self.scripts.lives, &keys);
            let living: Vec<usize> = self.server.retried(&lives).await?;
            let living = living.into_iter().filter_map(|at| tables.get(at));
            found.extend(living.map(|table| table.table().to_owned()));
            cursor = next;
            if cursor == 0 || found.len() >= TABLES_MAX {
                break;
            }
        }
        Ok(found.into_iter().take(TABLES_MAX).collect())
    }

    async fn check(&self) -> Result<(), Error> {
        Ok(self.server.check().await?)
    }
}

/// A time to live as the scripts take it; empty: for ever.
fn ttl(ttl_ms: Option<u64>) -> String {
    ttl_ms.map(|ttl| ttl.min(TTL_MS_MAX).to_string()).unwrap_or_default()
}

/// The time of this node's clock at which so much is over.
fn here(left_ms: i64) -> u64 {
    unix_ms().saturating_add_signed(left_ms)
}
