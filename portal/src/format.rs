//! Times, sizes and numbers as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Now, Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// `3 minutes ago`, `in 5 days`.
pub(crate) fn relative(ms: i64, now: i64) -> String {
    let seconds = (now - ms) / 1_000;
    let (past, seconds) = (seconds >= 0, seconds.unsigned_abs());
    let (number, unit) = match seconds {
        0..=9 => return if past { "just now".to_owned() } else { "in a moment".to_owned() },
        10..=59 => (seconds, "second"),
        60..=3_599 => (seconds / 60, "minute"),
        3_600..=86_399 => (seconds / 3_600, "hour"),
        86_400..=2_591_999 => (seconds / 86_400, "day"),
        2_592_000..=31_535_999 => (seconds / 2_592_000, "month"),
        _ => (seconds / 31_536_000, "year"),
    };
    let plural = if number == 1 { "" } else { "s" };
    if past { format!("{number} {unit}{plural} ago") } else { format!("in {number} {unit}{plural}") }
}

/// `2026-11-26T04:24:21Z`; empty when out of range.
pub(crate) fn stamp(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// `2026-11-26 04:24:21 UTC`.
pub(crate) fn exact(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// `04:24:21.123`, for the lines of a log.
pub(crate) fn clock(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map_or_else(|_| String::new(), |at| at.strftime("%H:%M:%S%.3f").to_string())
}

/// `17 B`, `1.4 KiB`, `12 MiB`.
pub(crate) fn bytes(bytes: i64) -> String {
    scaled(bytes, 1_024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

/// `999`, `12 345`: digits in groups of three, with narrow spaces that do not break.
pub(crate) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    if number < 0 { format!("−{text}") } else { text }
}

/// Milliseconds: `12 ms`, `3.4 s`, `2 m 05 s`, `3 h 20 m`, `5 d 4 h`.
pub(crate) fn duration(ms: i64) -> String {
    let seconds = ms / 1_000;
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", seconds, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3_600_000..86_400_000 => format!("{} h {:02} m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Microseconds: `840 µs`, `1.2 ms`, then as [`duration`].
pub(crate) fn micros(us: i64) -> String {
    match us {
        ..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => duration(us / 1_000),
    }
}

/// A value of a limit with its unit.
pub(crate) fn quantity(value: i64, unit: &str) -> String {
    match unit {
        "bytes" => bytes(value),
        "seconds" => duration(value.saturating_mul(1_000)),
        "count" => count(value),
        unit => format!("{} {unit}", count(value)),
    }
}

/// Thousandths of a cent: `12.30 USD`. What is less than a cent has as many digits as it needs.
pub(crate) fn money(millicents: i64, currency: &str) -> String {
    let sign = if millicents < 0 { "−" } else { "" };
    let (whole, part) = (millicents.unsigned_abs() / 100_000, millicents.unsigned_abs() % 100_000);
    let part = format!("{part:05}");
    let part = part.trim_end_matches('0');
    format!("{sign}{whole}.{part:0<2} {currency}")
}

/// A long id, cut in the middle: `8f14e45f…c1a2`.
pub(crate) fn middle(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    match letters.len() {
        0..=16 => text.to_owned(),
        length => letters.iter().take(8).chain(['…'].iter()).chain(letters.iter().skip(length - 4)).collect(),
    }
}

/// The text as one word of a shell.
pub(crate) fn shell(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A message as a sentence: it begins with a capital and ends with a full stop.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut letters = text.chars();
    let mut whole: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if !whole.is_empty() && !whole.ends_with(['.', '?', '!', ':', '}', ')']) {
        whole.push('.');
    }
    whole
}

/// The name of a limit for people.
pub(crate) fn limit_title(name: &str) -> String {
    match name {
        "cpu_seconds" => "CPU time".to_owned(),
        "blob_bytes" => "Blobs".to_owned(),
        "store_bytes" => "Store".to_owned(),
        "egress_bytes" => "Outgoing traffic".to_owned(),
        "log_days" => "Logs are kept".to_owned(),
        "event_days" => "Events are kept".to_owned(),
        "event_bytes" => "Events".to_owned(),
        "build_minutes" => "Build time".to_owned(),
        other => sentence(&other.replace('_', " ")).trim_end_matches('.').to_owned(),
    }
}

fn scaled(number: i64, step: f64, units: &[&str]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = number as f64;
    let mut units = units.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while value.abs() >= step {
        let Some(larger) = units.next() else { break };
        value /= step;
        unit = larger;
    }
    if unit == "B" || value.abs() >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_relative_with_one_unit() {
        let now = 1_800_000_000_000;
        for (seconds, text) in [
            (0, "just now"),
            (-3, "in a moment"),
            (59, "59 seconds ago"),
            (60, "1 minute ago"),
            (7_300, "2 hours ago"),
            (86_400, "1 day ago"),
            (-86_400 * 29, "in 29 days"),
            (86_400 * 400, "1 year ago"),
        ] {
            assert_eq!(relative(now - seconds * 1_000, now), text);
        }
        assert_eq!(stamp(0), "1970-01-01T00:00:00Z");
        assert_eq!((clock(1), stamp(i64::MAX)), ("00:00:00.001".to_owned(), String::new()));
    }

    #[test]
    fn numbers_have_units() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1_434), "1.4 KiB");
        assert_eq!(bytes(64 << 20), "64 MiB");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((duration(12), duration(3_400)), ("12 ms".into(), "3.4 s".into()));
        assert_eq!((duration(125_000), duration(12_000_000)), ("2 m 05 s".into(), "3 h 20 m".into()));
        assert_eq!((micros(840), micros(1_250)), ("840 µs".into(), "1.2 ms".into()));
        assert_eq!(quantity(90, "per second"), "90 per second");
        assert_eq!((money(3_500_000, "USD"), money(-120, "USD")), ("35.00 USD".into(), "−0.0012 USD".into()));
    }

    #[test]
    fn text_is_cut_and_quoted() {
        assert_eq!(middle("0123456789abcdef0123"), "01234567…0123");
        assert_eq!(middle("short"), "short");
        assert_eq!(shell("it's"), r"'it'\''s'");
        assert_eq!(shell("https://x.example/a"), "https://x.example/a");
        assert_eq!(sentence("service already running"), "Service already running.");
        assert_eq!(sentence(""), "");
    }
}
