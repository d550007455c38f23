//! What a call changes in a namespace's file.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::due::to_sql;
use super::file::{expires, name_of};
use crate::context::unix_ms;
use crate::store::books::record_bytes;
use crate::store::transaction::{self, Check, sum};
use crate::store::{Error, Record, TableKey};

/// All that one call changes.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    One {
        table: TableKey,
        part: Part,
    },
    Increment {
        table: TableKey,
        key: Bytes,
        delta: i64,
        /// Of the record, if this makes it.
        expires_ms: Option<u64>,
    },
    Commit {
        table: TableKey,
        checks: Vec<Check>,
        parts: Vec<Part>,
    },
}

/// A change of one record.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Set(Record),
    Delete(Bytes),
}

/// What came of a change.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Done,
    Sum(i64, Record),
    /// A check did not hold, and nothing changed.
    Unmet,
    /// The call was wrong, and nothing changed.
    Refused(Error),
}

impl Part {
    pub(crate) fn of(change: transaction::Change, now_ms: u64) -> Self {
        match change {
            transaction::Change::Set(write) => {
                let expires_ms = write.expires_ms(now_ms);
                Self::Set(Record { key: write.key, value: write.value, expires_ms })
            }
            transaction::Change::Delete(key) => Self::Delete(key),
        }
    }

    /// The key, and the record that is there afterwards.
    pub(crate) fn into_record(self) -> (Bytes, Option<Record>) {
        match self {
            Self::Set(record) => (record.key.clone(), Some(record)),
            Self::Delete(key) => (key, None),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Set(record) => record.key.len() + record.value.len(),
            Self::Delete(key) => key.len(),
        }
    }

    fn expires_ms(&self) -> Option<u64> {
        match self {
            Self::Set(record) => record.expires_ms,
            Self::Delete(_) => None,
        }
    }
}

impl Change {
    pub(crate) fn table(&self) -> &TableKey {
        match self {
            Self::One { table, .. } | Self::Increment { table, .. } | Self::Commit { table, .. } => table,
        }
    }

    /// Keys and values that it holds.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::One { part, .. } => part.bytes(),
            Self::Increment { key, .. } => key.len(),
            Self::Commit { checks, parts, .. } => {
                let of_check = |check: &Check| check.key.len() + check.value.as_ref().map_or(0, Bytes::len);
                checks.iter().map(of_check).sum::<usize>() + parts.iter().map(Part::bytes).sum::<usize>()
            }
        }
    }

    /// How much more the namespace may hold after it, at most, if it is one statement and so a transaction by itself.
    pub(crate) fn growth_of_one(&self) -> Option<u64> {
        match self {
            Self::One { part: Part::Set(record), .. } => Some(record_bytes(&record.key, &record.value)),
            Self::One { part: Part::Delete(_), .. } => Some(0),
            Self::Increment { .. } | Self::Commit { .. } => None,
        }
    }

    /// The earliest expiry among the records that it may make.
    pub(crate) fn expires_ms(&self) -> Option<u64> {
        match self {
            Self::One { part, .. } => part.expires_ms(),
            Self::Increment { expires_ms, .. } => *expires_ms,
            Self::Commit { parts, .. } => parts.iter().filter_map(Part::expires_ms).min(),
        }
    }

    /// Does it, within the transaction that is open if there is one.
    pub(crate) fn apply(&self, file: &Connection) -> rusqlite::Result<Outcome> {
        match self {
            Self::One { table, part } => {
                put(file, table, part)?;
                Ok(Outcome::Done)
            }
            Self::Increment { table, key, delta, expires_ms } => {
                let live = live(file, table, key)?;
                let sum = match sum(live.as_ref().map(|live| live.value.as_ref()), *delta) {
                    Ok(sum) => sum,
                    Err(refused) => return Ok(Outcome::Refused(refused)),
                };
                let expires_ms = live.map_or(*expires_ms, |live| live.expires_ms);
                let record = Record { key: key.clone(), value: sum.to_string().into(), expires_ms };
                put(file, table, &Part::Set(record.clone()))?;
                Ok(Outcome::Sum(sum, record))
            }
            Self::Commit { table, checks, parts } => {
                for check in checks {
                    let live = live(file, table, &check.key)?;
                    if !check.holds(live.as_ref().map(|live| live.value.as_ref())) {
                        return Ok(Outcome::Unmet);
                    }
                }
                for part in parts {
                    put(file, table, part)?;
                }
                Ok(Outcome::Done)
            }
        }
    }
}

/// The record as the transaction sees it, unless it has expired.
fn live(file: &Connection, table: &TableKey, key: &Bytes) -> rusqlite::Result<Option<Record>> {
    let found = record(file, table, key)?;
    let now_ms = unix_ms();
    Ok(found.filter(|record| record.expires_ms.is_none_or(|at| at > now_ms)))
}

/// The record, expired or not.
pub(crate) fn record(file: &Connection, table: &TableKey, key: &Bytes) -> rusqlite::Result<Option<Record>> {
    let sql = "SELECT value, expires FROM records WHERE tbl = ?1 AND key = ?2";
    let mut select = file.prepare_cached(sql)?;
    let found = select.query_row(params![name_of(table), &key[..]], |row| {
        Ok(Record { key: key.clone(), value: row.get::<_, Vec<u8>>(0)?.into(), expires_ms: expires(row, 1)? })
    });
    found.optional()
}

fn put(file: &Connection, table: &TableKey, part: &Part) -> rusqlite::Result<()> {
    match part {
        Part::Set(record) => {
            let sql = "INSERT INTO records (tbl, key, value, expires) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (tbl, key) DO UPDATE SET value = excluded.value, expires = excluded.expires";
            let expires = record.expires_ms.map(to_sql);
            let values = params![name_of(table), &record.key[..], &record.value[..], expires];
            file.prepare_cached(sql)?.execute(values)?;
        }
        Part::Delete(key) => {
            let sql = "DELETE FROM records WHERE tbl = ?1 AND key = ?2";
            file.prepare_cached(sql)?.execute(params![name_of(table), &key[..]])?;
        }
    }
    Ok(())
}
