//! Which bytes of a blob are asked for (RFC 9110, 14).

use http::header::{self, HeaderMap};
use micro_capability::blob::Row;

use super::head::etag;

/// What of a blob is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// No range is asked for, or one that may be disregarded: several, another unit, not of this version, or nonsense.
    Whole,
    /// At least one byte.
    Range { offset: u64, length: u64 },
    /// The blob ends before.
    Outside,
}

pub(super) fn of(headers: &HeaderMap, row: &Row) -> Part {
    let mut ranges = headers.get_all(header::RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return Part::Whole };
    // A part of what the client has, or else all of what there is now. Dates are never the same.
    if headers.get_all(header::IF_RANGE).iter().any(|known| known.as_bytes() != etag(row).as_bytes()) {
        return Part::Whole;
    }
    range.to_str().ok().and_then(|text| parse(text, row.size)).unwrap_or(Part::Whole)
}

fn parse(text: &str, size: u64) -> Option<Part> {
    let (unit, range) = text.split_once('=')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (offset, end) = match (first, last) {
        ("", suffix) => (size.saturating_sub(number(suffix)?), size),
        (first, "") => (number(first)?, size),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            (first, size.min(last.saturating_add(1)))
        }
    };
    match end.checked_sub(offset) {
        None | Some(0) => Some(Part::Outside),
        Some(length) => Some(Part::Range { offset, length }),
    }
}

/// A number of digits alone; one that is too large is larger than every blob.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_understood() {
        let range = |offset, length| Some(Part::Range { offset, length });
        for (text, part) in [
            ("bytes=0-0", range(0, 1)),
            ("bytes=0-9", range(0, 10)),
            ("bytes=0-", range(0, 10)),
            ("bytes=3-5", range(3, 3)),
            ("Bytes = 3 - 5", range(3, 3)),
            ("bytes=9-100", range(9, 1)),
            ("bytes=-3", range(7, 3)),
            ("bytes=-100", range(0, 10)),
            ("bytes=0-99999999999999999999", range(0, 10)),
            ("bytes=10-", Some(Part::Outside)),
            ("bytes=10-20", Some(Part::Outside)),
            ("bytes=99999999999999999999-", Some(Part::Outside)),
            ("bytes=-0", Some(Part::Outside)),
            ("bytes=5-3", None),
            ("bytes=0-1,3-4", None),
            ("bytes=", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
            ("lines=0-1", None),
            ("0-1", None),
        ] {
            assert_eq!(parse(text, 10), part, "{text}");
        }
        for text in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"] {
            assert_eq!(parse(text, 0), Some(Part::Outside), "{text} of nothing");
        }
    }
}
