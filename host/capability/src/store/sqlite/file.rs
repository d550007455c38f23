//! One namespace's file.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};
use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, params};

use super::change::{Change, Outcome, record};
use super::due::to_sql;
use crate::sqlite::Extent;
use crate::store::books::RECORD_BYTES;
use crate::store::page::{Candidate, Cut, start};
use crate::store::{Error, Page, Range, Record, TableKey, Want};

const TABLES_MAX: i64 = 10_000;
/// Expired records that one sweep of a file removes.
const SWEEP: i64 = 1_000;
/// Rows that one change of a record changes where no size does. Triggers' rows count, and what changes a size has two of
/// them beside its own.
const ROWS_OF_ONE: u64 = 1;

/// Keys are BLOBs: SQLite compares them bytewise, whatever they contain.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS records (
    tbl BLOB NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    expires INTEGER,
    PRIMARY KEY (tbl, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS expiries ON records (expires) WHERE expires IS NOT NULL;
";

/// What each table holds, kept up to date by triggers, so that whatever changes a record is counted in the same
/// transaction. The row with the empty name, which no table has, is the sum.
fn size_schema() -> String {
    let size = |row: &str| format!("length({row}.key) + length({row}.value) + {RECORD_BYTES}");
    let (more, less, kept) = (size("NEW"), size("OLD"), size("records"));
    format!(
        "CREATE TABLE sizes (tbl BLOB NOT NULL PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
         INSERT INTO sizes SELECT tbl, sum({kept}) FROM records GROUP BY tbl;
         INSERT INTO sizes SELECT x'', coalesce(sum(bytes), 0) FROM sizes;
         CREATE TRIGGER size_INSERT AFTER INSERT ON records BEGIN
           INSERT INTO sizes VALUES (NEW.tbl, {more}) ON CONFLICT (tbl) DO UPDATE SET bytes = bytes + excluded.bytes;
           UPDATE sizes SET bytes = bytes + {more} WHERE tbl = x'';
         END;
         CREATE TRIGGER size_UPDATE AFTER UPDATE ON records WHEN length(NEW.value) <> length(OLD.value) BEGIN
           UPDATE sizes SET bytes = bytes + length(NEW.value) - length(OLD.value) WHERE tbl = NEW.tbl;
           UPDATE sizes SET bytes = bytes + length(NEW.value) - length(OLD.value) WHERE tbl = x'';
         END;
         CREATE TRIGGER size_DELETE AFTER DELETE ON records BEGIN
           UPDATE sizes SET bytes = bytes - ({less}) WHERE tbl = OLD.tbl;
           UPDATE sizes SET bytes = bytes - ({less}) WHERE tbl = x'';
         END;"
    )
}

#[derive(Debug)]
pub(crate) struct NamespaceFile {
    file: Connection,
    /// What all tables hold, if that is known. Nobody else writes.
    held: Option<u64>,
}

/// Tables and what they hold now, bytes.
pub(crate) type Sizes = Vec<(String, u64)>;

impl NamespaceFile {
    pub(crate) fn open(path: &Path, bytes_max: u64) -> Result<Self, Error> {
        let open = || {
            let file = crate::sqlite::open(Some(path), bytes_max, 8)?;
            file.execute_batch(SCHEMA)?;
            add_sizes(&file)?;
            Ok(Self { file, held: None })
        };
        open().map_err(|error| failed("open a namespace's store", error))
    }

    /// One change, durable when this returns; what came of it, and the sizes of tables that may have changed. Refuses as
    /// [`Self::apply`] does. On [`Error::Backend`] it may have happened all the same: the file is to be opened anew.
    pub(crate) fn apply_one(&mut self, change: &Change, max: Option<u64>) -> Result<(Outcome, Sizes), Error> {
        let wrong = |error| failed("write to the store", error);
        if !self.is_sure(change, max).map_err(wrong)? {
            let (outcomes, sizes) = self.apply(&[change], max)?;
            return Ok((outcomes.into_iter().next().ok_or_else(super::stopped)?, sizes));
        }
        let rows_before = self.file.total_changes();
        let outcome = change.apply(&self.file).map_err(wrong)?;
        if self.kept_sizes(rows_before) {
            return Ok((outcome, Sizes::new()));
        }
        let sizes = sizes_of(&self.file, std::iter::once(name_of(change.table()))).map_err(wrong)?;
        Ok((outcome, sizes))
    }

    /// Whether the change is one statement, which is a transaction by itself, and nothing has to be looked at in it.
    pub(super) fn is_sure(&mut self, change: &Change, max: Option<u64>) -> rusqlite::Result<bool> {
        // One that could not be undone is still open: the next that begins finds it.
        if !self.file.is_autocommit() {
            return Ok(false);
        }
        let Some(growth) = change.growth_of_one() else { return Ok(false) };
        let Some(max) = max else { return Ok(true) };
        Ok(growth <= max.saturating_sub(self.held()?))
    }

    /// All changes or none, durable when this returns; what came of each, and the sizes of tables that may have changed.
    /// Refuses to grow beyond `max` bytes of keys, values and bookkeeping: what is beyond it already may still shrink.
    pub(crate) fn apply(
        &mut self,
        changes: &[&Change],
        max: Option<u64>,
    ) -> Result<(Vec<Outcome>, Sizes), Error> {
        let wrong = |error| failed("write to the store", error);
        let rows_before = self.file.total_changes();
        let before = max.map(|_| self.held()).transpose().map_err(wrong)?;
        let done = crate::sqlite::transact(&self.file, Extent::Whole, wrong, |file| {
            let outcomes = changes.iter().map(|change| change.apply(file));
            let outcomes = outcomes.collect::<rusqlite::Result<Vec<_>>>().map_err(wrong)?;
            if file.total_changes() - rows_before <= ROWS_OF_ONE {
                return Ok((outcomes, Sizes::new()));
            }
            if let (Some(max), Some(before)) = (max, before) {
                let after = total(file).map_err(wrong)?;
                if after > max && after > before {
                    return Err(Error::Quota(max));
                }
            }
            let done = outcomes.iter().map(|outcome| matches!(outcome, Outcome::Done | Outcome::Sum(..)));
            let changed = changes.iter().zip(done).filter(|(_, done)| *done);
            let touched: BTreeSet<&str> = changed.map(|(change, _)| change.table().table()).collect();
            let sizes = sizes_of(file, touched.iter().map(|table| table.as_bytes())).map_err(wrong)?;
            Ok((outcomes, sizes))
        });
        self.kept_sizes(rows_before);
        done
    }

    /// Whether no size changed since there were so many changes of rows. What all tables hold is read anew otherwise.
    fn kept_sizes(&mut self, rows_before: u64) -> bool {
        let kept = self.file.total_changes() - rows_before <= ROWS_OF_ONE;
        if !kept {
            self.held = None;
        }
        kept
    }

    /// What all tables hold.
    fn held(&mut self) -> rusqlite::Result<u64> {
        let held = match self.held {
            Some(held) => held,
            None => total(&self.file)?,
        };
        self.held = Some(held);
        Ok(held)
    }

    /// What every table holds.
    pub(crate) fn sizes(&self) -> Result<Sizes, Error> {
        let sizes = || {
            let mut select = self.file.prepare_cached("SELECT tbl, bytes FROM sizes WHERE tbl <> x''")?;
            let rows = select.query_map([], |row| Ok((name(row.get(0)?), bytes(row.get(1)?))))?;
            rows.collect::<rusqlite::Result<_>>()
        };
        sizes().map_err(|error| failed("read the store's sizes", error))
    }

    pub(crate) fn get(&self, table: &TableKey, key: &Bytes) -> Result<Option<Record>, Error> {
        record(&self.file, table, key).map_err(|error| failed("read from the store", error))
    }

    pub(crate) fn scan(
        &self,
        table: &TableKey,
        range: &Range,
        want: Want,
        now_ms: u64,
    ) -> Result<Page, Error> {
        let read = |error| failed("scan the store", error);
        let mut cut = Cut::new(range, want, now_ms);
        let (compare, from) = match start(range) {
            Bound::Excluded(after) => (">", after),
            Bound::Included(prefix) => (">=", prefix),
            Bound::Unbounded => (">=", &[][..]),
        };
        // Values of records that the page may pass over are not even read.
        let inline = want == Want::Records && range.suffix.is_empty() && range.offset == 0;
        let value = if inline { ", value" } else { "" };
        let sql = format!(
            "SELECT key, length(value), expires{value} FROM records WHERE tbl = ?1 AND key {compare} ?2 ORDER BY key"
        );
        let mut select = self.file.prepare_cached(&sql).map_err(read)?;
        let mut rows = select.query(params![name_of(table), from]).map_err(read)?;
        while let Some(row) = rows.next().map_err(read)? {
            let key = row.get_ref(0).map_err(read)?;
            let key = key.as_blob().map_err(|error| failed("scan the store", error.into()))?;
            let value_bytes = usize::try_from(row.get::<_, i64>(1).map_err(read)?).unwrap_or(usize::MAX);
            let candidate = Candidate { key, value_bytes, expires_ms: expires(row, 2).map_err(read)? };
            let record = || {
                let key = Bytes::copy_from_slice(key);
                let value = match want {
                    Want::Keys => Bytes::new(),
                    Want::Records if inline => row.get::<_, Vec<u8>>(3).map_err(read)?.into(),
                    Want::Records => self.get(table, &key)?.map(|record| record.value).unwrap_or_default(),
                };
                Ok((key, value))
            };
            if let ControlFlow::Break(()) = cut.offer(&candidate, record)? {
                break;
            }
        }
        Ok(cut.finish())
    }

    /// Walks from one table's name to the next, so that it costs a step a table and not one a record.
    pub(crate) fn tables(&self, now_ms: u64) -> Result<Vec<String>, Error> {
        let sql = "
            WITH RECURSIVE names(tbl) AS (
                SELECT min(tbl) FROM records
                UNION ALL
                SELECT (SELECT min(tbl) FROM records WHERE tbl > names.tbl) FROM names WHERE names.tbl IS NOT NULL
            )
            SELECT tbl FROM names WHERE tbl IS NOT NULL AND EXISTS (
                SELECT 1 FROM records WHERE records.tbl = names.tbl AND (expires IS NULL OR expires > ?1)
            ) LIMIT ?2";
        let tables = || {
            let mut select = self.file.prepare_cached(sql)?;
            let names = select.query_map([to_sql(now_ms), TABLES_MAX], |row| row.get::<_, Vec<u8>>(0))?;
            names
                .map(|name| Ok(String::from_utf8_lossy(&name?).into_owned()))
                .collect::<rusqlite::Result<_>>()
        };
        tables().map_err(|error| failed("list the store's tables", error))
    }

    /// Removes some of what has expired; the sizes of the tables that it was in.
    pub(crate) fn sweep(&mut self, now_ms: u64) -> Result<Sizes, Error> {
        self.held = None;
        let sql = "DELETE FROM records WHERE (tbl, key) IN
            (SELECT tbl, key FROM records WHERE expires <= ?1 ORDER BY expires LIMIT ?2) RETURNING tbl";
        let sweep = || {
            let mut delete = self.file.prepare_cached(sql)?;
            let rows = delete.query_map([to_sql(now_ms), SWEEP], |row| row.get::<_, Vec<u8>>(0))?;
            let touched = rows.collect::<rusqlite::Result<BTreeSet<_>>>()?;
            sizes_of(&self.file, touched.iter().map(Vec::as_slice))
        };
        sweep().map_err(|error| failed("sweep the store", error))
    }

    /// The earliest expiry in the file.
    pub(crate) fn next_expiry(&self) -> Result<Option<u64>, Error> {
        let sql = "SELECT min(expires) FROM records WHERE expires IS NOT NULL";
        let next =
            self.file.prepare_cached(sql).and_then(|mut select| select.query_row([], |row| expires(row, 0)));
        next.map_err(|error| failed("read the store's expiries", error))
    }
}

/// Adds the sizes to a file that an older version made, or to a new one.
fn add_sizes(file: &Connection) -> rusqlite::Result<()> {
    let known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'sizes'";
    if file.query_row(known, [], |_| Ok(())).optional()?.is_some() {
        return Ok(());
    }
    file.execute_batch(&format!("BEGIN IMMEDIATE; {} COMMIT;", size_schema()))
}

fn total(file: &Connection) -> rusqlite::Result<u64> {
    let mut select = file.prepare_cached("SELECT bytes FROM sizes WHERE tbl = x''")?;
    select.query_row([], |row| row.get(0)).map(bytes)
}

fn sizes_of<'a>(file: &Connection, tables: impl Iterator<Item = &'a [u8]>) -> rusqlite::Result<Sizes> {
    let mut select = file.prepare_cached("SELECT bytes FROM sizes WHERE tbl = ?1")?;
    let mut sizes = Sizes::new();
    for table in tables {
        let size = select.query_row([table], |row| row.get(0)).optional()?;
        sizes.push((name(table.to_vec()), size.map_or(0, bytes)));
    }
    Ok(sizes)
}

/// A table's name, as the file has it.
pub(super) fn name_of(table: &TableKey) -> &[u8] {
    table.table().as_bytes()
}

fn name(table: Vec<u8>) -> String {
    String::from_utf8_lossy(&table).into_owned()
}

fn bytes(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or(0)
}

pub(super) fn expires(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|at| u64::try_from(at).unwrap_or(0)))
}

pub(crate) fn failed(doing: &str, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full,
        _ => Error::Backend(format!("{doing}: {error}")),
    }
}
