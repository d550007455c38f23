//! Times as people read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The current time in Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// `4s ago`, `6m5s ago`; `unknown` without a time.
pub(crate) fn ago(then_ms: i64, now_ms: i64) -> String {
    if then_ms <= 0 {
        return "unknown".to_owned();
    }
    let seconds = u64::try_from(now_ms.saturating_sub(then_ms)).unwrap_or_default() / 1_000;
    format!("{} ago", go_duration(Duration::from_secs(seconds)))
}

/// `5 minutes from now`; `never` without a time, `ended` once it has come.
pub(crate) fn until(then_ms: i64, now_ms: i64) -> String {
    match u64::try_from(then_ms.saturating_sub(now_ms)) {
        _ if then_ms <= 0 => "never".to_owned(),
        Ok(left) if left > 0 => from_now(Duration::from_millis(left)),
        _ => "ended".to_owned(),
    }
}

/// As Go prints a duration: `1h0m5s`, `1.5s`, `250ms`, `0s`.
pub(crate) fn go_duration(time: Duration) -> String {
    let nanos = time.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    for (unit, size) in [("ns", 1), ("µs", 1_000), ("ms", 1_000_000)] {
        if nanos < size * 1_000 && nanos < 1_000_000_000 {
            return format!("{}{unit}", fraction(nanos, size));
        }
    }
    let (minutes, rest) = (nanos / 60_000_000_000, nanos % 60_000_000_000);
    let seconds = fraction(rest, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `nanos / size` with as many decimals as it has.
fn fraction(nanos: u128, size: u128) -> String {
    let digits = size.ilog10() as usize;
    let text = format!("{}.{:0digits$}", nanos / size, nanos % size);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
const MONTH: u64 = 30 * DAY;
const YEAR: u64 = 12 * MONTH;

/// The time left in words: `5 minutes from now`.
pub(crate) fn from_now(left: Duration) -> String {
    let seconds = left.as_secs();
    let text = match seconds {
        0 => return "now".to_owned(),
        1 => "1 second".to_owned(),
        _ if seconds < MINUTE => format!("{seconds} seconds"),
        _ if seconds < 2 * MINUTE => "1 minute".to_owned(),
        _ if seconds < HOUR => format!("{} minutes", seconds / MINUTE),
        _ if seconds < 2 * HOUR => "1 hour".to_owned(),
        _ if seconds < DAY => format!("{} hours", seconds / HOUR),
        _ if seconds < 2 * DAY => "1 day".to_owned(),
        _ if seconds < WEEK => format!("{} days", seconds / DAY),
        _ if seconds < 2 * WEEK => "1 week".to_owned(),
        _ if seconds < MONTH => format!("{} weeks", seconds / WEEK),
        _ if seconds < 2 * MONTH => "1 month".to_owned(),
        _ if seconds < YEAR => format!("{} months", seconds / MONTH),
        _ if seconds < 18 * MONTH => "1 year".to_owned(),
        _ if seconds < 2 * YEAR => "2 years".to_owned(),
        _ => format!("{} years", seconds / YEAR),
    };
    format!("{text} from now")
}

/// `Jan 2 15:04:05`, in this machine's zone.
pub(crate) fn started(then_ms: i64) -> String {
    let Ok(time) = jiff::Timestamp::from_millisecond(then_ms) else { return "unknown".to_owned() };
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("%b %-d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (1_500_000_000, "1.5s"),
            (365_000_000_000, "6m5s"),
            (3_605_000_000_000, "1h0m5s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), text);
        }
        assert_eq!(ago(1_000, 5_999), "4s ago");
        assert_eq!(ago(9_000, 5_000), "0s ago");
        assert_eq!(ago(0, 5_000), "unknown");
        let told = [until(0, 5), until(5, 5), until(61_000, 1_000)];
        assert_eq!(told, ["never", "ended", "1 minute from now"]);
    }

    #[test]
    fn time_left_in_words() {
        for (seconds, text) in [
            (0, "now"),
            (1, "1 second from now"),
            (299, "4 minutes from now"),
            (300, "5 minutes from now"),
            (3_600, "1 hour from now"),
            (90_000, "1 day from now"),
            (40 * DAY, "1 month from now"),
            (3 * YEAR, "3 years from now"),
        ] {
            assert_eq!(from_now(Duration::from_secs(seconds)), text);
        }
    }
}
