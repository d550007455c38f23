//! One namespace's file: the log.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use micro_api::name::Namespace;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, params};
use uuid::Uuid;

use crate::events::backend::EVENT_BYTES;
use crate::events::key::DEAD;
use crate::events::{
    Appended, Error, Event, From, New, Page, Plans, READ_BYTES_MAX, READ_EVENTS_MAX, Retention, TOPICS_MAX,
    TopicInfo, TopicKey,
};
use crate::sqlite::{self, Extent};

/// Pages that any file may have: an empty one takes about a third of them.
const PAGES_MIN: u64 = 32;
/// How many times what a namespace may keep its file may be. Most events take once to twice what they count as: names of
/// topics, indexes and pages that are not full are not counted. Tiny ones of a topic with a name of 64 bytes take thrice.
const FILE_TIMES: u64 = 4;

/// `seq` is the order of the whole file. Times never go back in it, so what is old lies at its beginning. Names are
/// ASCII, and are compared bytewise.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS topics (
    topic TEXT NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL,
    lost INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    position INTEGER NOT NULL,
    id BLOB NOT NULL,
    timestamp INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (topic, position),
    UNIQUE (topic, id)
);
CREATE INDEX IF NOT EXISTS times ON events (topic, timestamp, position);
CREATE TABLE IF NOT EXISTS groups (
    topic TEXT NOT NULL,
    name TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    retries INTEGER,
    asked INTEGER NOT NULL,
    PRIMARY KEY (topic, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pending (
    topic TEXT NOT NULL,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    leased INTEGER NOT NULL,
    due INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (topic, name, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pending_events ON pending (topic, position);
CREATE TABLE IF NOT EXISTS held (bytes INTEGER NOT NULL);
INSERT INTO held SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM held);
CREATE TRIGGER IF NOT EXISTS held_more AFTER INSERT ON events BEGIN
    UPDATE held SET bytes = bytes + NEW.bytes;
END;
CREATE TRIGGER IF NOT EXISTS held_less AFTER DELETE ON events BEGIN
    UPDATE held SET bytes = bytes - OLD.bytes;
END;
";

#[derive(Debug)]
pub(crate) struct EventFile {
    namespace: Namespace,
    /// What the file may be whatever the plan says, and what it may be now.
    bytes_least: u64,
    bytes_max: u64,
    connection: Connection,
    plans: Arc<Plans>,
    /// All that is done now is part of one transaction.
    is_together: bool,
}

impl EventFile {
    /// No path: in memory. The file may be as large as its plan needs, and `bytes_least` in any case.
    pub(crate) fn open(
        namespace: &Namespace,
        path: Option<&Path>,
        bytes_least: u64,
        plans: Arc<Plans>,
    ) -> Result<Self, Error> {
        let bytes_max = bytes_max(bytes_least, plans.of(namespace));
        let open = || {
            let connection = crate::sqlite::open(path, bytes_max, PAGES_MIN)?;
            connection.execute_batch(SCHEMA)?;
            Ok(connection)
        };
        let connection = open().map_err(|error| failed("open a namespace's events", &error))?;
        let namespace = namespace.clone();
        Ok(Self { namespace, bytes_least, bytes_max, connection, plans, is_together: false })
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn retention(&self) -> Retention {
        self.plans.of(&self.namespace)
    }

    /// One transaction, durable when this returns, or with the one that it is part of; none of it on an error.
    pub(crate) fn transact<R>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<R, Fault>,
    ) -> Result<R, Error> {
        let extent = if self.is_together { Extent::Part } else { Extent::Whole };
        let wrong = |error: rusqlite::Error| failed(doing, &error);
        sqlite::transact(&self.connection, extent, wrong, |file| {
            work(file).map_err(|fault| fault.shown(doing))
        })
    }

    /// Makes one transaction of all that `work` does, durable when this returns. False: nothing of it happened, because
    /// `work` said so or the file did.
    pub(crate) fn together(&mut self, work: impl FnOnce(&mut Self) -> bool) -> bool {
        if self.connection.execute_batch("BEGIN IMMEDIATE").is_err() {
            return false;
        }
        self.is_together = true;
        let done = work(self);
        self.is_together = false;
        if done && self.connection.execute_batch("COMMIT").is_ok() {
            return true;
        }
        if !self.connection.is_autocommit() {
            // As where one is done alone.
            drop(self.connection.execute_batch("ROLLBACK"));
        }
        false
    }

    /// What is done now is part of one transaction.
    #[cfg(test)]
    pub(super) fn is_together(&self) -> bool {
        self.is_together
    }

    /// Whether SQLite undid the transaction that [`EventFile::together`] made, as it does when the disk is full.
    pub(crate) fn is_undone(&self) -> bool {
        self.is_together && self.connection.is_autocommit()
    }

    pub(crate) fn append(
        &mut self,
        topic: &TopicKey,
        events: &[New],
        now_ms: u64,
    ) -> Result<Vec<Appended>, Error> {
        let (retention, namespace) = (self.follow_plan()?, self.namespace.clone());
        self.transact("append events", |transaction| {
            // First, so that a file which is as large as it may be, by a plan that was larger, has room for what comes.
            if held(transaction)? > retention.bytes {
                super::trim::trim(transaction, &namespace, retention, now_ms, usize::MAX)?;
            }
            let appended = append(transaction, topic.topic(), events, now_ms)?;
            super::trim::trim(transaction, &namespace, retention, now_ms, usize::MAX)?;
            Ok(appended)
        })
    }

    /// Events beyond the retention's age are not shown, though they may not be removed yet.
    pub(crate) fn read(
        &mut self,
        topic: &TopicKey,
        from: From,
        limit: usize,
        now_ms: u64,
    ) -> Result<Page, Error> {
        let oldest = now_ms.saturating_sub(self.retention().age_ms);
        let read = || {
            let after = after(&self.connection, topic.topic(), from)?;
            read_after(&self.connection, topic.topic(), after, oldest, limit)
        };
        read().map_err(|error| failed("read events", &error))
    }

    pub(crate) fn topics(&mut self) -> Result<Vec<TopicInfo>, Error> {
        let topics = || {
            let sql = "SELECT topic, (SELECT count(*) FROM events e WHERE e.topic = t.topic), last, lost
                       FROM topics t ORDER BY topic LIMIT ?1";
            let mut select = self.connection.prepare_cached(sql)?;
            let rows = select.query_map([TOPICS_MAX.saturating_mul(2) as i64], |row| {
                Ok(TopicInfo {
                    topic: row.get(0)?,
                    events: from_sql(row.get(1)?),
                    last: from_sql(row.get(2)?),
                    lost: from_sql(row.get(3)?),
                })
            })?;
            rows.collect::<rusqlite::Result<_>>()
        };
        topics().map_err(|error| failed("list topics", &error))
    }

    /// What the namespace may keep; the file is bounded by it from now on.
    pub(crate) fn follow_plan(&mut self) -> Result<Retention, Error> {
        let retention = self.retention();
        let bytes_max = bytes_max(self.bytes_least, retention);
        if bytes_max != self.bytes_max {
            crate::sqlite::bound(&self.connection, bytes_max, PAGES_MIN)
                .map_err(|error| failed("bound a namespace's events", &error))?;
            self.bytes_max = bytes_max;
        }
        Ok(retention)
    }

    /// Bytes that count of what is kept.
    pub(crate) fn held(&self) -> Result<u64, Error> {
        held(&self.connection).map_err(|error| failed("read what a namespace holds", &error))
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// How large a file may be for what is kept in it.
fn bytes_max(least: u64, retention: Retention) -> u64 {
    retention.bytes.saturating_mul(FILE_TIMES).max(least)
}

pub(crate) fn held(file: &Connection) -> rusqlite::Result<u64> {
    file.prepare_cached("SELECT bytes FROM held")?.query_row([], |row| row.get(0)).map(from_sql)
}

/// Appends within a transaction; the topic's row holds its last position.
pub(crate) fn append(
    file: &Connection,
    topic: &str,
    events: &[New],
    now_ms: u64,
) -> Result<Vec<Appended>, Fault> {
    let mut last = last(file, topic)?;
    if last.is_none() {
        let topics: i64 =
            file.prepare_cached("SELECT count(*) FROM topics")?.query_row([], |row| row.get(0))?;
        // A dead letter has to go somewhere; its topic is beside another one, so there are at most twice as many.
        if from_sql(topics) >= TOPICS_MAX as u64 && !topic.ends_with(DEAD) {
            return Err(Fault::Refused(Error::Topics));
        }
        file.prepare_cached("INSERT INTO topics VALUES (?1, 0, 0)")?.execute([topic])?;
    }
    let newest: Option<i64> = file
        .prepare_cached("SELECT timestamp FROM events ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let timestamp = to_sql(now_ms).max(newest.unwrap_or(0));
    let mut position = last.take().unwrap_or(0);
    let mut appended = Vec::with_capacity(events.len());
    let known = "SELECT position, timestamp FROM events WHERE topic = ?1 AND id = ?2";
    let insert = "INSERT INTO events (topic, position, id, timestamp, bytes, metadata, payload)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    for event in events {
        let id = event.id.as_bytes().as_slice();
        let found: Option<(i64, i64)> = file
            .prepare_cached(known)?
            .query_row(params![topic, id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (at, timestamp) = if let Some(found) = found {
            found
        } else {
            position += 1;
            let metadata = serde_json::to_string(&event.metadata)
                .map_err(|error| Fault::Refused(Error::Backend(format!("write metadata: {error}"))))?;
            let bytes = (event.bytes() + EVENT_BYTES) as i64;
            let values = params![topic, position, id, timestamp, bytes, metadata, &event.payload[..]];
            file.prepare_cached(insert)?.execute(values)?;
            (position, timestamp)
        };
        appended.push(Appended { id: event.id, position: from_sql(at), timestamp_ms: from_sql(timestamp) });
    }
    file.prepare_cached("UPDATE topics SET last = ?2 WHERE topic = ?1")?.execute(params![topic, position])?;
    Ok(appended)
}

pub(crate) fn last(file: &Connection, topic: &str) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT last FROM topics WHERE topic = ?1";
    file.prepare_cached(sql)?.query_row([topic], |row| row.get(0)).optional()
}

/// The position before the first event to read.
pub(crate) fn after(file: &Connection, topic: &str, from: From) -> rusqlite::Result<i64> {
    let end = || Ok(last(file, topic)?.unwrap_or(0));
    match from {
        From::Start => Ok(0),
        From::End => end(),
        From::After(position) => Ok(to_sql(position)),
        From::Since(time_ms) => {
            let sql = "SELECT position - 1 FROM events WHERE topic = ?1 AND timestamp >= ?2
                       ORDER BY timestamp, position LIMIT 1";
            let first =
                file.prepare_cached(sql)?.query_row(params![topic, to_sql(time_ms)], |row| row.get(0));
            first.optional()?.map_or_else(end, Ok)
        }
    }
}

/// A page of the events after a position that are not older than a time.
pub(crate) fn read_after(
    file: &Connection,
    topic: &str,
    after: i64,
    oldest_ms: u64,
    limit: usize,
) -> rusqlite::Result<Page> {
    let sql = "SELECT position, id, timestamp, metadata, payload, bytes FROM events
               WHERE topic = ?1 AND position > ?2 AND timestamp >= ?3 ORDER BY position LIMIT ?4";
    let mut select = file.prepare_cached(sql)?;
    let limit = limit.min(READ_EVENTS_MAX) as i64;
    let mut rows = select.query(params![topic, after, to_sql(oldest_ms), limit])?;
    let mut page = Page { events: Vec::new(), after: from_sql(after) };
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        bytes += usize::try_from(row.get::<_, i64>(5)?).unwrap_or(usize::MAX) - EVENT_BYTES;
        if bytes > READ_BYTES_MAX && !page.events.is_empty() {
            break;
        }
        let event = event(row)?;
        page.after = event.position;
        page.events.push(event);
    }
    Ok(page)
}

/// Of the columns position, id, timestamp, metadata and payload.
pub(crate) fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let wrong = |column, error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, error)
    };
    let id = Uuid::from_slice(&row.get::<_, Vec<u8>>(1)?).map_err(|error| wrong(1, Box::new(error)))?;
    let metadata: BTreeMap<_, _> =
        serde_json::from_str(&row.get::<_, String>(3)?).map_err(|error| wrong(3, Box::new(error)))?;
    Ok(Event {
        id,
        position: from_sql(row.get(0)?),
        timestamp_ms: from_sql(row.get(2)?),
        metadata,
        payload: row.get::<_, Vec<u8>>(4)?.into(),
    })
}

/// Why a transaction is undone.
#[derive(Debug)]
pub(crate) enum Fault {
    Refused(Error),
    Sqlite(rusqlite::Error),
}

impl std::convert::From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Fault {
    fn shown(self, doing: &str) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Sqlite(error) => failed(doing, &error),
        }
    }
}

pub(crate) fn failed(doing: &str, error: &rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full,
        _ => Error::Backend(format!("{doing}: {error}")),
    }
}

/// SQLite's integers have a sign; no time or position comes near it.
pub(crate) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests;
