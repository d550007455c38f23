//! The log of a namespace's file by rusqlite alone.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use uuid::Uuid;

use super::native::{ACK_WAIT_MS, AGE_MS, KEPT_BYTES, METADATA, Native, SILENCE, Terms, size};
use crate::capabilities::floor::Floor;
use crate::capabilities::looper::{mixed, object};
use crate::capabilities::sqlite::File;
use crate::capabilities::{TOPIC, VALUE_BYTES};

/// Events of a transaction that fills a topic: what is written ahead stays small.
const TOGETHER: u64 = 20_000;
const INSERT: &str = "INSERT INTO events (topic, position, id, timestamp, bytes, metadata, payload)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// See the module.
pub(super) struct Log(pub(super) File);

/// An event as it is read.
struct Event {
    position: i64,
    id: Vec<u8>,
}

impl Event {
    /// All columns are read, as whoever wants the event would.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (_, _): (i64, String) = (row.get(2)?, row.get(3)?);
        let _: Vec<u8> = row.get(4)?;
        Ok(Self { position: row.get(0)?, id: row.get(1)? })
    }
}

#[async_trait]
impl Native for Log {
    fn append(&self) -> Floor {
        let (file, payload) = (self.0.clone(), object(VALUE_BYTES));
        Floor::blocking(move |_| {
            file.with(|file| {
                let append = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
                add(&append, &payload)?;
                trim(&append)?;
                append.commit()
            })
        })
    }

    fn read(&self, events: u64) -> Floor {
        let file = self.0.clone();
        Floor::blocking(move |number| {
            let after = to_sql(mixed(number, events));
            let found = file.with(|file| read_after(file, after, now_ms() - to_sql(AGE_MS), 1))?;
            ensure!(!found.is_empty(), "an event is missing");
            Ok(())
        })
    }

    /// On the thread of whoever asks: nothing is faster.
    async fn take(&self, terms: &Terms) -> Result<Vec<Uuid>> {
        let taken = self.0.with(|file| {
            let change = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let taken = take(&change, terms)?;
            change.commit()?;
            Ok(taken)
        })?;
        taken.into_iter().map(|event| Ok(Uuid::from_slice(&event.id)?)).collect()
    }

    async fn ack(&self, group: &str, id: Uuid) -> Result<()> {
        let done = self.0.with(|file| {
            let change = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let sql = "DELETE FROM pending WHERE topic = ?1 AND name = ?2
                       AND position = (SELECT position FROM events WHERE topic = ?1 AND id = ?3)";
            let done =
                change.prepare_cached(sql)?.execute(params![TOPIC, group, id.as_bytes().as_slice()])?;
            change.commit()?;
            Ok(done)
        })?;
        ensure!(done == 1, "an event was not pending");
        Ok(())
    }

    async fn fill(&self, events: u64) -> Result<()> {
        self.0.in_bulk(|| {
            let mut first = 2;
            while first <= events {
                let last = events.min(first + TOGETHER - 1);
                self.0.with(|file| fill(file, first, last))?;
                first = last + 1;
            }
            Ok(())
        })
    }
}

/// Appends events with the positions from one to another.
fn fill(file: &mut Connection, first: u64, last: u64) -> rusqlite::Result<()> {
    let (all, payload) =
        (file.transaction_with_behavior(TransactionBehavior::Immediate)?, object(VALUE_BYTES));
    let now = newest(&all)?;
    let mut insert = all.prepare_cached(INSERT)?;
    for position in first..=last {
        // In order, else the index of ids would be written all over again and again.
        let id = u128::from(position).to_be_bytes();
        insert.execute(params![TOPIC, to_sql(position), id, now, to_sql(size()), METADATA, payload])?;
    }
    drop(insert);
    let sql = "UPDATE topics SET last = ?2 WHERE topic = ?1";
    all.prepare_cached(sql)?.execute(params![TOPIC, to_sql(last)])?;
    all.commit()
}

fn add(file: &Connection, payload: &[u8]) -> rusqlite::Result<()> {
    let sql = "SELECT last FROM topics WHERE topic = ?1";
    let last: i64 = file.prepare_cached(sql)?.query_row([TOPIC], |row| row.get(0))?;
    let (now, id) = (now_ms().max(newest(file)?), Uuid::new_v4());
    let sql = "SELECT position, timestamp FROM events WHERE topic = ?1 AND id = ?2";
    let known = params![TOPIC, id.as_bytes().as_slice()];
    file.prepare_cached(sql)?.query_row(known, |row| row.get::<_, i64>(0)).optional()?;
    let values = params![TOPIC, last + 1, id.as_bytes().as_slice(), now, to_sql(size()), METADATA, payload];
    file.prepare_cached(INSERT)?.execute(values)?;
    let sql = "UPDATE topics SET last = ?2 WHERE topic = ?1";
    file.prepare_cached(sql)?.execute(params![TOPIC, last + 1]).map(drop)
}

fn newest(file: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT timestamp FROM events ORDER BY seq DESC LIMIT 1";
    file.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

/// Asks whether something is to be removed; nothing is.
fn trim(file: &Connection) -> rusqlite::Result<bool> {
    let held: i64 = file.prepare_cached("SELECT bytes FROM held")?.query_row([], |row| row.get(0))?;
    let mut oldest = file.prepare_cached("SELECT seq, timestamp, bytes FROM events ORDER BY seq LIMIT ?1")?;
    let oldest: Option<i64> = oldest.query_row([256], |row| row.get(1)).optional()?;
    Ok(held > to_sql(KEPT_BYTES) || oldest.is_some_and(|oldest| oldest < now_ms() - to_sql(AGE_MS)))
}

fn read_after(file: &Connection, after: i64, oldest: i64, limit: usize) -> rusqlite::Result<Vec<Event>> {
    let sql = "SELECT position, id, timestamp, metadata, payload, bytes FROM events
               WHERE topic = ?1 AND position > ?2 AND timestamp >= ?3 ORDER BY position LIMIT ?4";
    let mut select = file.prepare_cached(sql)?;
    select.query_map(params![TOPIC, after, oldest, limit as i64], Event::read)?.collect()
}

fn take(file: &Connection, terms: &Terms) -> rusqlite::Result<Vec<Event>> {
    let (group, now) = (terms.group.as_str(), now_ms());
    trim(file)?;
    let cursor = join(file, terms, now)?;
    let sql =
        "SELECT coalesce(sum(leased AND due > ?3), 0), count(*) FROM pending WHERE topic = ?1 AND name = ?2";
    let leased: i64 = file.prepare_cached(sql)?.query_row(params![TOPIC, group, now], |row| row.get(0))?;
    let sql = "SELECT e.position, e.id, e.timestamp, e.metadata, e.payload, p.attempts, p.reason
               FROM pending p JOIN events e ON e.topic = p.topic AND e.position = p.position
               WHERE p.topic = ?1 AND p.name = ?2 AND p.due <= ?3 ORDER BY p.position";
    file.prepare_cached(sql)?.query_row(params![TOPIC, group, now], Event::read).optional()?;
    let room = terms.max.saturating_sub(usize::try_from(leased).unwrap_or(0));
    let events = read_after(file, cursor, 0, room)?;
    for event in &events {
        let sql = "INSERT INTO pending VALUES (?1, ?2, ?3, 1, 1, ?4, ?5)";
        let due = now + to_sql(ACK_WAIT_MS);
        file.prepare_cached(sql)?.execute(params![TOPIC, group, event.position, due, SILENCE])?;
    }
    if let Some(last) = events.last() {
        let sql = "UPDATE groups SET cursor = ?3 WHERE topic = ?1 AND name = ?2";
        file.prepare_cached(sql)?.execute(params![TOPIC, group, last.position])?;
    }
    Ok(events)
}

fn join(file: &Connection, terms: &Terms, now: i64) -> rusqlite::Result<i64> {
    let group = terms.group.as_str();
    let sql = "UPDATE groups SET retries = ?3, asked = ?4
               WHERE topic = ?1 AND name = ?2 AND (retries IS NOT ?3 OR asked < ?5)";
    file.prepare_cached(sql)?.execute(params![TOPIC, group, 0, now, now - 60_000])?;
    let sql = "SELECT cursor FROM groups WHERE topic = ?1 AND name = ?2";
    let found = file.prepare_cached(sql)?.query_row([TOPIC, group], |row| row.get(0)).optional()?;
    if let Some(cursor) = found {
        return Ok(cursor);
    }
    let cursor = to_sql(terms.after);
    let sql = "INSERT INTO groups VALUES (?1, ?2, ?3, ?4, ?5)";
    file.prepare_cached(sql)?.execute(params![TOPIC, group, cursor, 0, now])?;
    Ok(cursor)
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
