//! Durations as Go writes them: `1m30s`, `250ms`, `1.5h`.

use std::time::Duration;

/// Nanoseconds of each unit. Longer names first: `ms` is no `m`.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3_600e9),
];

/// None for what is no duration, and for a negative one.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(end)?;
        let number: f64 = number.parse().ok()?;
        let (unit, scale) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        nanos += number * scale;
        rest = after.get(unit.len()..)?;
    }
    let whole = !text.trim().is_empty() && nanos.is_finite() && nanos < 9.2e18;
    whole.then(|| Duration::from_nanos(nanos.round() as u64))
}
