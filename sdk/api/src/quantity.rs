//! Sizes and durations as people write them: `128MiB`, `1m30s`.

use std::time::Duration;

/// Why a quantity was refused; the text says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("`{0}` is not a size: write a number and a unit, such as \"64KiB\", \"128MiB\" or \"1GiB\"")]
    Size(String),
    #[error("`{0}` is not a duration: write numbers with units, such as \"250ms\", \"5s\" or \"1m30s\"")]
    Duration(String),
}

const SIZES: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Parses a size with its unit, in bytes. `MiB` is 2^20, `MB` is 10^6. Fractions are refused.
pub fn size(text: &str) -> Result<u64, QuantityError> {
    let refuse = || QuantityError::Size(text.to_owned());
    let (digits, factor) = SIZES
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .ok_or_else(refuse)?;
    let digits = digits.strip_suffix(' ').unwrap_or(digits);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refuse());
    }
    digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(refuse)
}

/// Longest unit first, so that `ms` is not read as `m`.
const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

/// Parses a duration in Go's form: `300ms`, `1.5h`, `2h45m`; `0` needs no unit. Negative ones are refused.
pub fn duration(text: &str) -> Result<Duration, QuantityError> {
    let refuse = || QuantityError::Duration(text.to_owned());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos = 0f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refuse)?;
        let (number, tail) = rest.split_at(end);
        let number: f64 = number.parse().map_err(|_| refuse())?;
        let (unit, factor) =
            UNITS.iter().find(|(unit, _)| tail.starts_with(unit)).copied().ok_or_else(refuse)?;
        nanos += number * factor;
        rest = tail.strip_prefix(unit).unwrap_or_default();
    }
    // A century is beyond every use, and far below what `Duration` holds.
    if text.is_empty() || nanos > 36_500.0 * 86_400e9 {
        return Err(refuse());
    }
    Ok(Duration::from_secs_f64(nanos / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("128MiB", 128 << 20), ("4 KiB", 4096), ("10MB", 10_000_000), ("0B", 0)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "128", "1.5GiB", "-1B", "99999999999999GiB", "128 miB", "128  MiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in
            [("5s", 5_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("250ms", 250), ("0", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "-5s", "5 s", "1e9s", "5days", "999999999h", ".s", "1..5s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
