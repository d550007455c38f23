//! The store of a test: in memory, or in a file that outlives the process.

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::Error;
use crate::store::{Change, Check, Range, Record};

const ID: &str = "go.micro.store";
/// What one answer holds at most.
const PAGE: usize = 1000;
/// The variable that says where records are.
const VARIABLE: &str = "MICRO_STORE";

/// A value, and when it goes.
type Kept = (Vec<u8>, Option<SystemTime>);

/// Where the records of a test are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere else.
    #[default]
    Memory,
    /// Below this folder, in a file for each test.
    Folder(PathBuf),
}

impl Place {
    /// As `MICRO_STORE` says; without it in memory.
    pub(crate) fn of_environment() -> Result<Self, String> {
        match std::env::var(VARIABLE) {
            Ok(text) => Self::parse(&text),
            Err(std::env::VarError::NotPresent) => Ok(Self::Memory),
            Err(std::env::VarError::NotUnicode(_)) => Err(format!("{VARIABLE} is no UTF-8")),
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text.is_empty() || text == "memory" => Ok(Self::Memory),
            Some(("file", folder)) if !folder.is_empty() => Ok(Self::Folder(folder.into())),
            _ => Err(format!(
                "{VARIABLE}=`{text}`: a test has the stores `memory` and `file:FOLDER`; SQLite, PostgreSQL and Redis are the \
                 platform's, which `micro server --store` chooses"
            )),
        }
    }
}

#[derive(Default)]
pub(crate) struct Table {
    records: BTreeMap<String, Kept>,
    log: Option<file::Log>,
}

impl Table {
    /// The records of this test; `empty` forgets those of an earlier one.
    pub(crate) fn open(place: &Place, empty: bool) -> Result<Self, String> {
        let Place::Folder(folder) = place else { return Ok(Self::default()) };
        let path = file::path(folder);
        let opened = file::Log::open(&path, empty);
        let (log, entries) = opened.map_err(|error| format!("{VARIABLE}: {}: {error}", path.display()))?;
        let mut table = Self { log: Some(log), ..Self::default() };
        table.apply(entries);
        Ok(table)
    }

    pub(crate) fn get(&self, key: &str) -> Option<Record> {
        let (value, expires) = self.records.get(key)?;
        record(key, value, *expires)
    }

    pub(crate) fn set(&mut self, key: String, value: Vec<u8>, ttl: Option<Duration>) -> Result<(), Error> {
        self.write(vec![(key, Some((value, expiry(ttl))))])
    }

    pub(crate) fn delete(&mut self, key: &str) -> Result<(), Error> {
        self.write(vec![(key.to_owned(), None)])
    }

    pub(crate) fn increment(&mut self, key: String, delta: i64, ttl: Option<Duration>) -> Result<i64, Error> {
        let live = self.get(&key);
        let before = live.as_ref().map_or(Some(0), |live| number(&live.value));
        let refused = |detail| Error::bad_request(ID, detail);
        let before =
            before.ok_or_else(|| refused("the value is not the decimal text of a 64-bit integer"))?;
        let sum = before.checked_add(delta).ok_or_else(|| refused("the sum is beyond a 64-bit integer"))?;
        let expires = match live {
            Some(_) => self.records.get(&key).and_then(|(_, expires)| *expires),
            None => expiry(ttl),
        };
        self.write(vec![(key, Some((sum.to_string().into_bytes(), expires)))])?;
        Ok(sum)
    }

    pub(crate) fn commit(&mut self, checks: &[Check], changes: Vec<Change>) -> Result<bool, Error> {
        let holds = |check: &Check| self.get(&check.key).map(|live| live.value) == check.value;
        if !checks.iter().all(holds) {
            return Ok(false);
        }
        let entry = |change: Change| (change.key, change.write.map(|(value, ttl)| (value, expiry(ttl))));
        self.write(changes.into_iter().map(entry).collect())?;
        Ok(true)
    }

    pub(crate) fn read(&self, range: &Range) -> Vec<Record> {
        let limit = range.limit.map_or(PAGE, |limit| PAGE.min(limit as usize));
        let begins = |key: &str| range.prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix));
        let ends = |key: &str| range.suffix.as_deref().is_none_or(|suffix| key.ends_with(suffix));
        let after = |key: &str| range.after.as_deref().is_none_or(|after| key > after);
        self.records
            .iter()
            .filter(|(key, _)| begins(key) && ends(key) && after(key))
            .filter_map(|(key, (value, expires))| record(key, value, *expires))
            .skip(range.offset as usize)
            .take(limit)
            .collect()
    }

    /// Changes that happen together, in the file first.
    fn write(&mut self, entries: Vec<file::Entry>) -> Result<(), Error> {
        if let Some(log) = &mut self.log {
            log.append(&entries).map_err(|error| {
                Error::internal_server_error(ID, format!("the file of {VARIABLE} cannot be written: {error}"))
            })?;
        }
        self.apply(entries);
        Ok(())
    }

    fn apply(&mut self, entries: Vec<file::Entry>) {
        for (key, kept) in entries {
            match kept {
                Some(kept) => drop(self.records.insert(key, kept)),
                None => drop(self.records.remove(&key)),
            }
        }
    }
}

fn expiry(ttl: Option<Duration>) -> Option<SystemTime> {
    ttl.and_then(|ttl| SystemTime::now().checked_add(ttl))
}

/// Written as an `i64` is, and in no other way.
fn number(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn record(key: &str, value: &[u8], expires: Option<SystemTime>) -> Option<Record> {
    let expiry = match expires {
        Some(at) => Some(at.duration_since(SystemTime::now()).ok().filter(|left| !left.is_zero())?),
        None => None,
    };
    Some(Record { key: key.to_owned(), value: value.to_vec(), expiry })
}
