//! What the capabilities that keep SQLite files have in common: one file a namespace, and a few workers that do all work
//! on them, each namespace always the same one.

mod workers;

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

pub(crate) use workers::{Asker, Bounds, Kind, Refused, Worker, Workers, by_namespace, shard};

const PAGE_BYTES: u64 = 4_096;
/// Prepared statements that a file keeps: more than any capability has, so that none is prepared again and again.
const STATEMENTS_MAX: usize = 64;

/// Opens a namespace's file, which is durable when a transaction returns. Its size is bounded by SQLite itself: a write
/// beyond it fails as one on a full disk does. No path: in memory.
pub(crate) fn open(path: Option<&Path>, bytes_max: u64, pages_min: u64) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = match path {
        Some(path) => Connection::open_with_flags(path, flags)?,
        None => Connection::open_in_memory_with_flags(flags)?,
    };
    file.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES};
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA busy_timeout = 5000;
         PRAGMA cache_size = -512;
         PRAGMA journal_size_limit = 4194304;
         PRAGMA max_page_count = {};",
        pages_max(bytes_max, pages_min),
    ))?;
    // Else a statement is compiled anew each time when a bound limit, or a bound it searches by, might make another plan
    // better: that takes longer than to read a record.
    file.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    file.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(file)
}

/// How much of a transaction a piece of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it: durable when it is done.
    Whole,
    /// A part of the one that is open.
    Part,
}

/// Does `work`, or nothing of it on an error. Its own errors are those that `wrong` makes of the file's.
pub(crate) fn transact<R, E>(
    file: &Connection,
    extent: Extent,
    wrong: impl Fn(rusqlite::Error) -> E + Copy,
    work: impl FnOnce(&Connection) -> Result<R, E>,
) -> Result<R, E> {
    let (begin, end, undo) = match extent {
        Extent::Whole => ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"),
        Extent::Part => ("SAVEPOINT part", "RELEASE part", "ROLLBACK TO part; RELEASE part"),
    };
    // These are compiled once, too.
    let run = |sql| file.prepare_cached(sql)?.execute([]).map(drop);
    run(begin).map_err(wrong)?;
    let done = work(file).and_then(|done| run(end).map(|()| done).map_err(wrong));
    // What found no room may have been undone by SQLite already, with all that it was a part of.
    if done.is_err() && !file.is_autocommit() {
        // What cannot even be undone, closing the file undoes: the next call fails, and lets doubt it.
        drop(file.execute_batch(undo));
    }
    done
}

/// Bounds a file that is open anew. One that is larger already stays as it is, and grows no more.
pub(crate) fn bound(file: &Connection, bytes_max: u64, pages_min: u64) -> rusqlite::Result<()> {
    file.execute_batch(&format!("PRAGMA max_page_count = {};", pages_max(bytes_max, pages_min)))
}

fn pages_max(bytes_max: u64, pages_min: u64) -> u64 {
    (bytes_max / PAGE_BYTES).max(pages_min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_pages_of_its_own() {
        let file = open(None, 1 << 20, 8).unwrap();
        let sql = "SELECT sqlite_compileoption_used('ENABLE_MEMORY_MANAGEMENT')";
        let shares: bool = file.query_row(sql, [], |row| row.get(0)).unwrap();
        assert!(!shares, "LIBSQLITE3_FLAGS of .cargo/config.toml is not set");
    }
}
