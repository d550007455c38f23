//! The store in SQLite: one file a namespace, so that a tenant's data is bounded, backed up and deleted by itself.
//!
//! A few workers do all file work, each namespace's always the same one. A worker takes what waits in its queue, commits
//! a namespace's writes in one transaction (one fsync for many callers) and then answers its reads. Hot keys are served
//! from memory without asking it; only a namespace's own worker changes its cached keys, after the commit and before the
//! caller hears of it, so a read never finds less than was acknowledged.

mod change;
mod copy;
mod due;
mod file;
#[cfg(test)]
mod tests;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use micro_api::name::Namespace;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

pub use copy::{copy, databases};

use super::backend::check_key;
use super::books::Books;
use super::transaction::{self, Check};
use super::{Backend, Error, Page, Range, Record, TableKey, Want, Write};
use crate::context::unix_ms;
use crate::sqlite::{Bounds, Refused, Workers};
use change::{Change, Part};
use due::Due;
use worker::{Answer, Job, Task, Worker};

/// Values longer than this are not kept in memory.
const CACHED_VALUE_BYTES_MAX: usize = 64 << 10;
/// Bookkeeping of a cached key, bytes.
const CACHED_KEY_BYTES: usize = 160;
/// What a cached key and its value take as a rule, bytes.
const CACHED_BYTES_USUAL: usize = 512;

/// Bounds of the store.
#[derive(Debug, Clone)]
pub struct SqliteConfig {
    /// Folder of the files, `<namespace>.db`.
    pub folder: PathBuf,
    /// Largest file of one namespace.
    pub namespace_bytes_max: u64,
    /// Files open at once, over all workers.
    pub open_files_max: usize,
    /// Workers that do file work, each with a thread.
    pub workers: usize,
    /// Calls that wait for one worker.
    pub queue_max: usize,
    /// Calls of one namespace that wait or run; more wait their turn outside the queue.
    pub calls_per_namespace_max: usize,
    /// Memory for hot keys.
    pub cache_bytes_max: u64,
    /// What namespaces may hold; told what they hold.
    pub books: Arc<Books>,
}

impl SqliteConfig {
    /// The defaults, in `folder`: 1 GiB a namespace, 256 files open, 64 MiB of hot keys.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            namespace_bytes_max: 1 << 30,
            open_files_max: 256,
            workers: 4,
            queue_max: 4_096,
            calls_per_namespace_max: 512,
            cache_bytes_max: 64 << 20,
            books: Arc::default(),
        }
    }
}

/// Hot keys; a key that is known to be absent is kept too.
///
/// A lock guards a part of them. A cache that frees by epochs looks at every thread that has ever asked, and the runtime
/// has hundreds where it replaces those that wait.
type HotKeys = Arc<Cache<HotKey, Option<Record>, Bytewise>>;

/// A key of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct HotKey {
    table: TableKey,
    key: Bytes,
}

/// The same, as one looks for it.
#[derive(Hash)]
struct Wanted<'a> {
    table: &'a TableKey,
    key: &'a [u8],
}

impl Equivalent<HotKey> for Wanted<'_> {
    fn equivalent(&self, hot: &HotKey) -> bool {
        self.key == hot.key && *self.table == hot.table
    }
}

/// Hot keys weigh what they take of memory.
#[derive(Debug, Clone)]
struct Bytewise;

impl Weighter<HotKey, Option<Record>> for Bytewise {
    fn weight(&self, hot: &HotKey, record: &Option<Record>) -> u64 {
        let value = record.as_ref().map_or(0, |record| record.value.len());
        (CACHED_KEY_BYTES + hot.key.len() + value) as u64
    }
}

/// Key-value records in SQLite files.
#[derive(Debug)]
pub struct Sqlite {
    workers: Workers<Worker>,
    hot: HotKeys,
}

impl Sqlite {
    /// Opens the folder and starts the workers.
    ///
    /// # Errors
    /// When the folder, the list of expiries or a thread cannot be made.
    pub fn open(config: &SqliteConfig) -> Result<Arc<Self>, Error> {
        std::fs::create_dir_all(&config.folder)
            .map_err(|error| Error::Backend(format!("make {}: {error}", config.folder.display())))?;
        let keys = usize::try_from(config.cache_bytes_max).unwrap_or(usize::MAX) / CACHED_BYTES_USUAL;
        let hot = HotKeys::new(Cache::with_weighter(keys, config.cache_bytes_max, Bytewise));
        let due = Arc::new(Due::open(&config.folder)?);
        let workers = config.workers.max(1);
        let bounds =
            Bounds { queue_max: config.queue_max, calls_per_namespace_max: config.calls_per_namespace_max };
        let worker = |index| Worker::new(config, index, workers, hot.clone(), Arc::clone(&due));
        let workers = Workers::start("micro-store", workers, &bounds, worker)
            .map_err(|error| Error::Backend(format!("start a store thread: {error}")))?;
        Ok(Arc::new(Self { workers, hot }))
    }

    async fn ask(&self, namespace: &Namespace, job: Job) -> Result<Answer, Error> {
        self.workers.ask(namespace, job.kind(), job.bytes(), |asker| Task { job, asker }).await?
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Busy => Self::Busy,
            Refused::Stopped => Self::Backend("the store's worker has stopped".to_owned()),
        }
    }
}

fn stopped() -> Error {
    Refused::Stopped.into()
}

#[async_trait]
impl Backend for Sqlite {
    async fn get(&self, table: &TableKey, key: &[u8]) -> Result<Option<Record>, Error> {
        check_key(key)?;
        let found = match self.hot.get(&Wanted { table, key }) {
            Some(found) => found,
            None => {
                let wanted = Job::Get { table: table.clone(), key: Bytes::copy_from_slice(key) };
                match self.ask(table.namespace(), wanted).await? {
                    Answer::Record(found) => found,
                    _ => None,
                }
            }
        };
        Ok(found.filter(|record| record.expires_ms.is_none_or(|at| at > unix_ms())))
    }

    async fn set(&self, table: &TableKey, write: Write) -> Result<(), Error> {
        write.check()?;
        let expires_ms = write.expires_ms(unix_ms());
        let record = Record { key: write.key, value: write.value, expires_ms };
        let change = Change::One { table: table.clone(), part: Part::Set(record) };
        self.ask(table.namespace(), Job::Change(change)).await.map(drop)
    }

    async fn delete(&self, table: &TableKey, key: &[u8]) -> Result<(), Error> {
        check_key(key)?;
        let part = Part::Delete(Bytes::copy_from_slice(key));
        let change = Change::One { table: table.clone(), part };
        self.ask(table.namespace(), Job::Change(change)).await.map(drop)
    }

    async fn increment(
        &self,
        table: &TableKey,
        key: &[u8],
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, Error> {
        check_key(key)?;
        let expires_ms = ttl_ms.map(|ttl| unix_ms().saturating_add(ttl));
        let key = Bytes::copy_from_slice(key);
        let change = Change::Increment { table: table.clone(), key, delta, expires_ms };
        match self.ask(table.namespace(), Job::Change(change)).await? {
            Answer::Sum(sum) => Ok(sum),
            _ => Err(stopped()),
        }
    }

    async fn commit(
        &self,
        table: &TableKey,
        checks: Vec<Check>,
        changes: Vec<transaction::Change>,
    ) -> Result<bool, Error> {
        transaction::check(&checks, &changes)?;
        let now_ms = unix_ms();
        let parts = changes.into_iter().map(|change| Part::of(change, now_ms)).collect();
        let change = Change::Commit { table: table.clone(), checks, parts };
        let answer = self.ask(table.namespace(), Job::Change(change)).await?;
        Ok(!matches!(answer, Answer::Unmet))
    }

    async fn scan(&self, table: &TableKey, range: Range, want: Want) -> Result<Page, Error> {
        match self.ask(table.namespace(), Job::Scan { table: table.clone(), range, want }).await? {
            Answer::Page(page) => Ok(page),
            _ => Ok(Page::default()),
        }
    }

    async fn tables(&self, namespace: &Namespace) -> Result<Vec<String>, Error> {
        match self.ask(namespace, Job::Tables { namespace: namespace.clone() }).await? {
            Answer::Tables(tables) => Ok(tables),
            _ => Ok(Vec::new()),
        }
    }
}
