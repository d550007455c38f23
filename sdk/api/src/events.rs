//! Events over `/v1/events` and in `micro.toml`.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `POST /v1/events/publish` → [`Published`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PublishEvent")]
pub struct Publish {
    /// Required.
    #[serde(default)]
    pub topic: String,
    /// A JSON object: the payload.
    pub message: serde_json::Map<String, serde_json::Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// Where an event went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "PublishedEvent")]
pub struct Published {
    pub id: String,
    /// From 1, without gaps, in the order of the topic.
    pub position: u64,
    /// Unix milliseconds.
    pub timestamp_ms: u64,
}

/// An event, as `GET /v1/events/read` and `/stream` show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Event {
    pub id: String,
    pub topic: String,
    /// From 1, without gaps, in the order of the topic.
    pub position: u64,
    /// Unix milliseconds.
    pub timestamp_ms: u64,
    pub metadata: BTreeMap<String, String>,
    /// Base64, standard alphabet, padded.
    pub payload: String,
}

/// `POST /v1/events/consume` → [`Consumed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ConsumeEvents")]
pub struct Consume {
    /// Required.
    pub topic: String,
    /// Whose place in the topic it is. Empty: one of its own, which the answer names and which ends after 10 minutes in
    /// which nobody asks for it.
    pub group: String,
    /// Where a new group begins: `start`, `end`, a position, or a time as RFC 3339 writes it.
    pub offset: String,
    /// At most so many events, 1 to 256.
    pub max: u32,
    /// How long an event may be without an answer before it is delivered again, milliseconds.
    pub ack_wait_ms: i64,
    /// How often an event is delivered again before it goes to the dead-letter topic; less than 0: for ever.
    pub retries: i64,
    /// How long to wait for a first event, milliseconds, at most 30 000.
    pub wait_ms: u64,
}

impl Default for Consume {
    fn default() -> Self {
        Self {
            topic: String::new(),
            group: String::new(),
            offset: "start".to_owned(),
            max: 1,
            ack_wait_ms: 30_000,
            retries: -1,
            wait_ms: 0,
        }
    }
}

/// What a group got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "ConsumedEvents")]
pub struct Consumed {
    /// As asked for, or the new one.
    pub group: String,
    /// To be acknowledged one by one.
    pub events: Vec<Delivery>,
}

/// An event that a group has taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "EventDelivery")]
pub struct Delivery {
    pub event: Event,
    /// From 1.
    pub attempt: u32,
}

/// `POST /v1/events/ack` → 204; 404 when that delivery is over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AckEvent")]
pub struct Ack {
    #[serde(default)]
    pub topic: String,
    pub group: String,
    /// The event's.
    pub id: String,
    /// Of the delivery.
    pub attempt: u32,
    /// It is done with; otherwise it is delivered again after `delay_ms`, or goes to the dead-letter topic.
    pub success: bool,
    #[serde(default)]
    pub delay_ms: u64,
    /// Why not, for the dead-letter topic.
    #[serde(default)]
    pub reason: String,
}

/// A group of a topic, as `GET /v1/events/groups` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "EventGroup")]
pub struct Group {
    pub topic: String,
    pub group: String,
    /// The last position that was delivered.
    pub cursor: u64,
    /// Events that are being delivered or wait to be tried again.
    pub pending: u64,
    /// Kept events that were never delivered.
    pub behind: u64,
}

/// From where on to read a topic: `start`, `end`, a position, or a time as RFC 3339 writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Offset {
    /// From the oldest event that is kept.
    #[default]
    Start,
    /// From the next event.
    End,
    /// After the event of this position.
    After(u64),
    /// From the first event at or after this time, Unix milliseconds.
    Since(u64),
}

/// What is no offset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an offset is `start`, `end`, the position of an event, or a time such as `2026-01-31T08:00:00Z`")]
pub struct OffsetError;

impl FromStr for Offset {
    type Err = OffsetError;

    fn from_str(text: &str) -> Result<Self, OffsetError> {
        match text {
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            _ if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map(Self::After).map_err(|_| OffsetError)
            }
            _ => time_ms(text).map(Self::Since).ok_or(OffsetError),
        }
    }
}

/// RFC 3339's `date-time`, as Unix milliseconds; none for what is no time, or lies before 1970. What is finer than a
/// millisecond is cut, and a leap second counts as the second after it.
fn time_ms(text: &str) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (clock, rest) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (millis, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            let (digits, zone) = rest.split_at_checked(end)?;
            let three: String = digits.chars().chain("00".chars()).take(3).collect();
            (three.parse::<i64>().ok().filter(|_| !digits.is_empty())?, zone)
        }
        None => (0, rest),
    };
    let ahead = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = if zone.strip_prefix('+').is_some() { 1 } else { -1 };
            let [hours, minutes] = numbers(zone.strip_prefix(['+', '-'])?, ':', [2, 2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 60 + minutes)
        }
    };
    let minutes = (days_from_epoch(year, month, day) * 24 + hour) * 60 + minute - ahead;
    u64::try_from((minutes * 60 + second) * 1_000 + millis).ok()
}

/// Decimal numbers of so many digits, with a sign between them.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut found = [0; N];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

/// Days of the Gregorian calendar since 1970-01-01. Years begin in March here, so that a leap day is a year's last.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_words_positions_and_times() {
        let offset = |text: &str| text.parse::<Offset>();
        assert_eq!(offset("start"), Ok(Offset::Start));
        assert_eq!(offset("end"), Ok(Offset::End));
        assert_eq!(offset("17"), Ok(Offset::After(17)));
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2000-03-01T00:00:00Z", 951_868_800_000),
            ("2026-11-27T02:16:38.5Z", 1_795_745_798_500),
            ("2026-11-27T04:16:38.500900+02:00", 1_795_745_798_500),
            ("2026-11-26t21:46:38.50-04:30", 1_795_745_798_500),
        ] {
            assert_eq!(offset(text), Ok(Offset::Since(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_offset_is_refused() {
        for text in [
            "",
            "begin",
            "-1",
            "1.5",
            "99999999999999999999999",
            "2026-11-27",
            "2026-11-27T02:16:38",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-11-27T24:00:00Z",
            "2026-11-27T02:60:00Z",
            "2026-11-27T02:16:38.Z",
            "2026-11-27T02:16:38+1:00",
            "2026-11-27T02:16:38+01:00x",
            "1969-12-31T23:59:59Z",
            "2026-11-27é02:16:38Z",
        ] {
            assert_eq!(text.parse::<Offset>(), Err(OffsetError), "{text}");
        }
    }
}
