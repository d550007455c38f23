//! When each namespace's next record expires, kept outside the namespaces' files: a sweep opens only those that are
//! due. Losing it loses no data: expired records are invisible anyway, and opening a file corrects its entry.

use std::collections::HashMap;
use std::path::Path;

use micro_api::name::Namespace;
use parking_lot::Mutex;
use rusqlite::{Connection, params};

use super::file::failed;
use crate::store::Error;

/// Not a namespace's file: a namespace's name has no underscore.
const FILE: &str = "_expiries.db";

#[derive(Debug)]
pub(crate) struct Due(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    next: HashMap<Namespace, u64>,
    file: Connection,
}

impl Due {
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let file = Connection::open(folder.join(FILE))
            .map_err(|error| failed("open the list of expiries", error))?;
        let set_up = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
            CREATE TABLE IF NOT EXISTS due (namespace TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;";
        file.execute_batch(set_up).map_err(|error| failed("set up the list of expiries", error))?;
        let next = read(&file).map_err(|error| failed("read the list of expiries", error))?;
        Ok(Self(Mutex::new(Inner { next, file })))
    }

    /// A record expires at `at`: the namespace is due no later.
    pub(crate) fn lower(&self, namespace: &Namespace, at: u64) {
        let mut inner = self.0.lock();
        if inner.next.get(namespace).is_none_or(|next| at < *next) {
            inner.put(namespace, Some(at));
        }
    }

    /// What the file itself says: the earliest expiry, none if nothing expires.
    pub(crate) fn correct(&self, namespace: &Namespace, at: Option<u64>) {
        let mut inner = self.0.lock();
        if inner.next.get(namespace).copied() != at {
            inner.put(namespace, at);
        }
    }

    /// Namespaces with something to sweep, at most `most`.
    pub(crate) fn take(&self, now_ms: u64, most: usize, mine: impl Fn(&Namespace) -> bool) -> Vec<Namespace> {
        let inner = self.0.lock();
        let due = inner.next.iter().filter(|(namespace, at)| **at <= now_ms && mine(namespace));
        due.map(|(namespace, _)| namespace.clone()).take(most).collect()
    }
}

impl Inner {
    fn put(&mut self, namespace: &Namespace, at: Option<u64>) {
        let result = match at {
            Some(at) => {
                self.next.insert(namespace.clone(), at);
                let sql = "INSERT INTO due VALUES (?1, ?2) ON CONFLICT (namespace) DO UPDATE SET at = ?2";
                self.file
                    .prepare_cached(sql)
                    .and_then(|mut put| put.execute(params![namespace.as_str(), to_sql(at)]))
            }
            None => {
                self.next.remove(namespace);
                let sql = "DELETE FROM due WHERE namespace = ?1";
                self.file.prepare_cached(sql).and_then(|mut delete| delete.execute([namespace.as_str()]))
            }
        };
        if let Err(error) = result {
            tracing::warn!(%namespace, %error, "cannot note when the store's records expire");
        }
    }
}

fn read(file: &Connection) -> rusqlite::Result<HashMap<Namespace, u64>> {
    let mut select = file.prepare("SELECT namespace, at FROM due")?;
    let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    let mut next = HashMap::new();
    for row in rows {
        let (namespace, at) = row?;
        if let Ok(namespace) = namespace.parse() {
            next.insert(namespace, u64::try_from(at).unwrap_or(0));
        }
    }
    Ok(next)
}

/// SQLite's integers have a sign; a time beyond them is as good as never.
pub(crate) fn to_sql(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}
