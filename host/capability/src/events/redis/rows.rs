//! What the scripts answer, and what they are given.

use std::collections::HashMap;

use ::redis::{FromRedisValue, ParsingError, Value};
use uuid::Uuid;

use crate::events::{Delivery, Error, Event, From, New};

/// The server's numbers are exact up to there.
const NUMBER_MAX: u64 = 1 << 53;

/// Of each topic a number.
pub(super) type Numbers = HashMap<String, u64>;
/// Of groups their names, cursors, what is pending and what is behind.
pub(super) type Groups = (Vec<String>, Vec<u64>, Vec<u64>, Vec<u64>);

/// Events as columns: positions, ids, times, metadata, payloads.
#[derive(Debug)]
pub(super) struct Columns(Vec<u64>, Vec<String>, Vec<u64>, Vec<String>, Vec<Vec<u8>>);

impl FromRedisValue for Columns {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (positions, ids, times, metadata, payloads) = FromRedisValue::from_redis_value(value)?;
        Ok(Self(positions, ids, times, metadata, payloads))
    }
}

impl Columns {
    pub(super) fn events(self) -> Result<Vec<Event>, Error> {
        let Self(positions, ids, times, metadata, payloads) = self;
        let all = positions.into_iter().zip(ids).zip(times).zip(metadata).zip(payloads);
        let event =
            |((((position, id), timestamp_ms), metadata), payload): ((((u64, _), u64), _), Vec<u8>)| {
                let metadata: String = metadata;
                Ok(Event {
                    id: uuid(id)?,
                    position,
                    timestamp_ms,
                    metadata: serde_json::from_str(&metadata).map_err(|error| broken("metadata", &error))?,
                    payload: payload.into(),
                })
            };
        all.map(event).collect()
    }
}

/// What a group got: what came of it, events with their attempts, and ids of what was buried with its attempts.
pub(super) type Taken = (i64, Columns, Vec<u32>, Vec<String>, Vec<u32>);

pub(super) fn deliveries(columns: Columns, attempts: Vec<u32>) -> Result<Vec<Delivery>, Error> {
    let events = columns.events()?.into_iter().zip(attempts);
    Ok(events.map(|(event, attempt)| Delivery { event, attempt }).collect())
}

fn uuid(text: String) -> Result<Uuid, Error> {
    Uuid::try_parse(&text).map_err(|error| broken("id", &error))
}

fn broken(what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::Backend(format!("an event's {what} in Redis is none of ours: {error}"))
}

/// Metadata as it is kept.
pub(super) fn metadata(event: &New) -> Result<String, Error> {
    json(&event.metadata)
}

/// As JSON, which the scripts put together and never read.
pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Backend(format!("write JSON: {error}")))
}

/// An id as it is kept.
pub(super) fn id(id: Uuid) -> String {
    id.simple().to_string()
}

/// A time or a position as the scripts know it.
pub(super) fn number(number: u64) -> u64 {
    number.min(NUMBER_MAX)
}

/// Where to begin, as the scripts know it.
pub(super) fn start(from: From) -> (&'static str, u64) {
    match from {
        From::Start => ("start", 0),
        From::End => ("end", 0),
        From::After(position) => ("after", number(position)),
        From::Since(time_ms) => ("since", number(time_ms)),
    }
}
