//! The file of a namespace by rusqlite, as one would use it without us: one connection, and the same pragmas and
//! statements.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use tempfile::TempDir;

use super::compare::Judge;
use super::floor::Floor;
use super::looper::{key, name, value, written};
use super::servers::{NAMESPACE, TABLE};

/// Where files are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Medium {
    Disk,
    /// Files all the same, and flushed; but nothing waits for them.
    Memory,
}

impl Medium {
    /// How files there are called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Disk => "SQLite",
            Self::Memory => "SQLite with files in memory",
        }
    }

    /// A folder there that goes with the value.
    pub(super) fn folder(self) -> Result<TempDir> {
        let folder = match self {
            Self::Disk => tempfile::tempdir(),
            Self::Memory => tempfile::tempdir_in("/dev/shm"),
        };
        folder.with_context(|| format!("make a folder for {}", self.name()))
    }

    /// How a write there is judged.
    pub(super) fn judge(self) -> Judge {
        match self {
            Self::Disk => Judge::Flushed,
            Self::Memory => Judge::Embedded,
        }
    }
}

/// A file that our backend made.
#[derive(Clone)]
pub(super) struct File(Arc<Mutex<Connection>>);

impl File {
    /// The file of the namespace in the folder of a backend.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(format!("{NAMESPACE}.db"));
        ensure!(path.exists(), "there is no {}", path.display());
        let file = Connection::open(&path).with_context(|| format!("open {}", path.display()))?;
        let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;
                       PRAGMA cache_size = -512; PRAGMA journal_size_limit = 4194304;";
        file.execute_batch(pragmas).context("prepare the file")?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T> {
        Ok(work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))?)
    }

    pub(super) fn get(&self, keys: u64) -> Floor {
        let file = self.clone();
        Floor::blocking(move |number| {
            let key = key(number, keys).into_bytes();
            let found = file.with(|file| {
                let sql = "SELECT value, expires FROM records WHERE tbl = ?1 AND key = ?2";
                let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
                file.prepare_cached(sql)?.query_row(params![TABLE.as_bytes(), key], read).optional()
            });
            let found: Option<(Vec<u8>, Option<i64>)> = found?;
            found.map(drop).context("a key is missing")
        })
    }

    pub(super) fn set(&self, keys: u64, bytes: u64) -> Floor {
        let (file, value) = (self.clone(), value(bytes));
        Floor::blocking(move |number| {
            let (key, value) = (key(number, keys).into_bytes(), written(&value, number));
            file.with(|file| {
                let sql = "INSERT INTO records (tbl, key, value, expires) VALUES (?1, ?2, ?3, NULL)
                           ON CONFLICT (tbl, key) DO UPDATE SET value = excluded.value, expires = excluded.expires";
                file.prepare_cached(sql)?.execute(params![TABLE.as_bytes(), key, value]).map(drop)
            })
        })
    }

    /// Does what writes much with more memory than is usual, which it has no longer afterwards.
    pub(super) fn in_bulk<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.with(|file| file.execute_batch("PRAGMA cache_size = -65536"))?;
        let done = work();
        self.with(|file| file.execute_batch("PRAGMA cache_size = -512"))?;
        done
    }

    /// Writes all keys in one transaction.
    pub(super) fn fill(&self, keys: u64, bytes: u64) -> Result<()> {
        self.in_bulk(|| self.fill_now(keys, bytes)).context("fill the table")
    }

    fn fill_now(&self, keys: u64, bytes: u64) -> Result<()> {
        let value = value(bytes);
        self.with(|file| {
            let all = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let sql = "INSERT INTO records (tbl, key, value, expires) VALUES (?1, ?2, ?3, NULL)
                       ON CONFLICT (tbl, key) DO NOTHING";
            let mut insert = all.prepare_cached(sql)?;
            for number in 0..keys {
                insert.execute(params![TABLE.as_bytes(), name(number).into_bytes(), value])?;
            }
            drop(insert);
            all.commit()
        })
    }
}
