//! Between the events and the server's rows.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use crate::events::{Delivery, Error, Event, New, REASON_BYTES_MAX};

/// Longest time that is added to now, milliseconds: 31 700 years.
pub(super) const WAIT_MS_MAX: i64 = 1_000_000_000_000_000;

/// An event.
pub(super) struct Row {
    position: i64,
    id: Vec<u8>,
    timestamp_ms: i64,
    metadata: String,
    payload: Vec<u8>,
}

impl FromRow<'_, PgRow> for Row {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            position: row.try_get("position")?,
            id: row.try_get("id")?,
            timestamp_ms: row.try_get("timestamp_ms")?,
            metadata: row.try_get("metadata")?,
            payload: row.try_get("payload")?,
        })
    }
}

impl Row {
    pub(super) fn event(self) -> Result<Event, Error> {
        let wrong = |error: &dyn std::fmt::Display| Error::Backend(format!("read an event: {error}"));
        Ok(Event {
            id: Uuid::from_slice(&self.id).map_err(|error| wrong(&error))?,
            position: from_sql(self.position),
            timestamp_ms: from_sql(self.timestamp_ms),
            metadata: serde_json::from_str(&self.metadata).map_err(|error| wrong(&error))?,
            payload: self.payload.into(),
        })
    }
}

/// What `take` says: a delivery, an event that was given up, or why there is none.
pub(super) struct TakenRow {
    kind: i32,
    pos: Option<i64>,
    event_id: Option<Vec<u8>>,
    at_ms: Option<i64>,
    meta: Option<String>,
    load: Option<Vec<u8>>,
    tried: Option<i64>,
}

impl FromRow<'_, PgRow> for TakenRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            kind: row.try_get("kind")?,
            pos: row.try_get("pos")?,
            event_id: row.try_get("event_id")?,
            at_ms: row.try_get("at_ms")?,
            meta: row.try_get("meta")?,
            load: row.try_get("load")?,
            tried: row.try_get("tried")?,
        })
    }
}

impl TakenRow {
    /// Old events are to be removed first; nothing was taken.
    pub(super) fn is_stale(&self) -> bool {
        self.kind == 3
    }

    /// The topic has too many groups.
    pub(super) fn is_refused(&self) -> bool {
        self.kind == 4
    }

    /// The event that was given up, and how often it was delivered.
    pub(super) fn buried(&self) -> Option<(Uuid, u64)> {
        let id = Uuid::from_slice(self.event_id.as_deref()?).ok()?;
        (self.kind == 2).then(|| (id, from_sql(self.tried.unwrap_or(0))))
    }

    pub(super) fn delivery(self) -> Result<Delivery, Error> {
        let Self { pos: Some(position), event_id: Some(id), at_ms: Some(timestamp_ms), .. } = self else {
            return Err(Error::Backend("take events: a row without an event".to_owned()));
        };
        let metadata = self.meta.unwrap_or_default();
        let row = Row { position, id, timestamp_ms, metadata, payload: self.load.unwrap_or_default() };
        let attempt = u32::try_from(self.tried.unwrap_or(0)).unwrap_or(u32::MAX);
        Ok(Delivery { event: row.event()?, attempt })
    }
}

pub(super) fn metadata(event: &New) -> Result<String, Error> {
    serde_json::to_string(&event.metadata).map_err(|error| Error::Backend(format!("write metadata: {error}")))
}

/// A reason as it is kept. The server's texts have no NUL.
pub(super) fn cut(reason: &str) -> String {
    let reason = reason.replace('\0', " ");
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default().to_owned()
}

/// The server's integers have a sign; no time or position comes near it.
pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn time_to_sql(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).min(WAIT_MS_MAX)
}

pub(super) fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
