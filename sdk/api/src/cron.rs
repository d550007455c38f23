//! When a schedule is due: the five fields of cron in a time zone, and the random delay of a tick.
//!
//! The fields are read on the clock that hangs on the wall there. Where that clock jumps forward, what stands in the hour
//! that it skips runs at its end, once; where it is turned back, what stands in the hour that comes twice runs the first
//! time only. So a tick a day is always a tick a day.

#[cfg(test)]
mod tests;

use std::time::Duration;

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions, parse_crontab_with};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

/// The zone of a schedule that names none.
pub const UTC: &str = "UTC";
/// Bytes of the fields.
pub const BYTES_MAX: usize = 128;
/// Times on the wall that one question looks at: a clock may be turned back by a day, which has 1 440 minutes.
const STEPS_MAX: usize = 3_000;
/// 2024-01-01, before a leap day: what does not come within four years of it never comes.
const EPOCH_MS: i64 = 1_704_067_200_000;
const HOUR_MS: i64 = 3_600_000;

/// Why there is no such schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// The fields cannot be read.
    #[error("`{text}` is no schedule: {why}")]
    Fields { text: String, why: String },
    /// No day has that date.
    #[error("`{0}` never comes")]
    Never(String),
    /// The tz database has no such zone.
    #[error("`{0}` is no time zone: write a name of the tz database, such as `Europe/Berlin`, or `UTC`")]
    Zone(String),
}

/// Five fields of cron, in a time zone.
#[derive(Debug, Clone)]
pub struct Cron {
    /// Its own zone is UTC, which stands for the clock on the wall.
    table: Crontab,
    zone: TimeZone,
}

impl Cron {
    /// Reads five fields (minute, hour, day of the month, month, day of the week), or one of `@hourly`, `@daily`,
    /// `@midnight`, `@weekly`, `@monthly`, `@yearly` and `@annually`. `zone` is a name of the tz database that comes with
    /// this program.
    ///
    /// # Errors
    /// What is wrong with the fields or the zone, in one line.
    pub fn parse(text: &str, zone: &str) -> Result<Self, CronError> {
        let refuse = |why: &str| CronError::Fields {
            text: text.chars().take(BYTES_MAX).collect(),
            why: why.to_owned(),
        };
        if text.len() > BYTES_MAX {
            return Err(refuse("it is too long"));
        }
        let fields: Vec<&str> = named(text.trim()).split_ascii_whitespace().collect();
        if fields.first().is_some_and(|field| field.starts_with('@')) {
            return Err(refuse("the names are @hourly, @daily, @weekly, @monthly and @yearly"));
        }
        if fields.len() != 5 {
            return Err(refuse("it has five fields: minute, hour, day of the month, month, day of the week"));
        }
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let table =
            parse_crontab_with(&fields.join(" "), options).map_err(|error| refuse(&last_line(&error)))?;
        let zone = zone_of(zone)?;
        let cron = Self { table, zone };
        match cron.next_after(EPOCH_MS) {
            Some(_) => Ok(cron),
            None => Err(CronError::Never(text.to_owned())),
        }
    }

    /// The first tick after the moment `after_ms`. Both are Unix milliseconds. None only where the calendar ends.
    pub fn next_after(&self, after_ms: i64) -> Option<i64> {
        let after = Timestamp::from_millisecond(after_ms).ok()?;
        let mut wall = TimeZone::UTC.to_timestamp(self.zone.to_datetime(after)).ok()?;
        for _ in 0..STEPS_MAX {
            let next = self.table.find_next(MakeTimestamp(wall)).ok()?;
            let at = self.moment(next.datetime())?;
            if at > after {
                return Some(at.as_millisecond());
            }
            // The clock shows this for the second time.
            wall = next.timestamp();
        }
        None
    }

    /// The last tick after `after_ms` that is not later than `until_ms`.
    pub fn last_between(&self, after_ms: i64, until_ms: i64) -> Option<i64> {
        // From near to far: each step has few ticks that the one before it did not have.
        for hours in [1, 24, 24 * 32, 24 * 366, 24 * 366 * 5] {
            let from = until_ms.saturating_sub(hours * HOUR_MS).max(after_ms);
            let mut last = None;
            let mut tick = self.next_after(from);
            while let Some(at) = tick.filter(|at| *at <= until_ms) {
                last = Some(at);
                tick = self.next_after(at);
            }
            if last.is_some() || from == after_ms {
                return last;
            }
        }
        None
    }

    /// When the clock on the wall shows `wall`: the first time of two; the end of what it skips.
    fn moment(&self, wall: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(wall).ok()
            }
            AmbiguousOffset::Gap { after, .. } => {
                // By the clock of afterwards this moment is before the jump, so the next change is the jump.
                let before = after.to_timestamp(wall).ok()?;
                self.zone.following(before).next().map(|change| change.timestamp())
            }
        }
    }
}

fn zone_of(name: &str) -> Result<TimeZone, CronError> {
    if name == UTC {
        return Ok(TimeZone::UTC);
    }
    // That of the machine may be older, or none.
    TimeZoneDatabase::bundled()
        .get(name)
        .map_err(|_| CronError::Zone(name.chars().take(BYTES_MAX).filter(|c| !c.is_control()).collect()))
}

/// The fields that a name stands for.
fn named(text: &str) -> &str {
    match text {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        other => other,
    }
}

/// The parser draws a picture; the reason is below it.
fn last_line(error: &cronexpr::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default();
    line.trim_start_matches(|c: char| c == '^' || c.is_whitespace()).to_owned()
}

/// How long after its tick a run begins, below `max`: another time for each tick and schedule, the same on every node.
pub fn jitter(max: Duration, schedule: &[&str], tick_ms: i64) -> Duration {
    let max_ms = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
    if max_ms == 0 {
        return Duration::ZERO;
    }
    // FNV-1a, and SplitMix's last steps so that close ticks are not close here.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    for part in schedule {
        part.bytes().for_each(&mut eat);
        eat(0xff);
    }
    tick_ms.to_le_bytes().into_iter().for_each(&mut eat);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Duration::from_millis((hash ^ (hash >> 31)) % max_ms)
}
