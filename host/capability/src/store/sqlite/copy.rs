//! Copies of the store's files for a backup, while whoever serves goes on writing.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::file::failed;
use crate::store::Error;

/// How long a file is waited for that is just being switched to its journal.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// File names of the databases in a store's folder, sorted; none where there is no folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn databases(folder: &Path) -> Result<Vec<String>, Error> {
    let wrong = |error| Error::Backend(format!("list {}: {error}", folder.display()));
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(wrong(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(wrong)?.file_name();
        names.extend(name.to_str().filter(|name| name.ends_with(".db")).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Writes the database `from`, as it is at one moment, to the new file `to`. `VACUUM INTO` reads in one transaction, so
/// writers neither wait for it nor make it begin again, as SQLite's other way, copying pages, would under load.
///
/// # Errors
/// When there is no such database, or `to` exists.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let copy = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = Connection::open_with_flags(from, flags)?;
        file.busy_timeout(BUSY_TIMEOUT)?;
        file.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map(drop)
    };
    copy().map_err(|error| failed(&format!("copy {}", from.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_what_was_committed_and_replaces_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let (from, to) = (scratch.path().join("a.db"), scratch.path().join("copy.db"));
        assert!(copy(&from, &to).is_err() && !from.exists(), "a missing one is not made");
        let mut writer = Connection::open(&from).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (v); INSERT INTO t VALUES (1)")
            .unwrap();
        // Half done: another one's transaction neither delays the copy nor shows in it.
        let half = writer.transaction().unwrap();
        half.execute("INSERT INTO t VALUES (2)", []).unwrap();
        copy(&from, &to).unwrap();
        half.commit().unwrap();
        let count = |path: &Path| {
            let file = Connection::open(path).unwrap();
            file.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!((count(&to), count(&from)), (1, 2));
        assert!(copy(&from, &to).is_err());
        assert_eq!(databases(scratch.path()).unwrap(), ["a.db", "copy.db"]);
        assert_eq!(databases(&scratch.path().join("none")).unwrap(), [""; 0]);
    }
}
