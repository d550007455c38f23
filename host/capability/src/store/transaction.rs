//! What `increment` and `commit` mean, the same for every backend.

use std::collections::HashSet;

use bytes::Bytes;

use super::backend::check_key;
use super::books::record_bytes;
use super::{Error, Write};

/// Most checks and changes of one transaction, together.
pub const TRANSACTION_PARTS_MAX: usize = 100;
/// Most bytes of keys and values in one transaction, those of its checks counted.
pub const TRANSACTION_BYTES_MAX: usize = 4 << 20;

/// What must be true for a transaction to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// 1 to [`super::KEY_BYTES_MAX`] bytes.
    pub key: Bytes,
    /// What the record holds, byte by byte; none: there is no record, or it has expired.
    pub value: Option<Bytes>,
}

/// What a transaction does with a key.
#[derive(Debug, Clone)]
pub enum Change {
    /// Writes over whatever is there.
    Set(Write),
    /// Removes; a missing key is no error.
    Delete(Bytes),
}

impl Check {
    /// Whether a live record's value, or none, is what was asked for.
    pub(crate) fn holds(&self, live: Option<&[u8]>) -> bool {
        self.value.as_deref() == live
    }
}

impl Change {
    pub(crate) fn key(&self) -> &Bytes {
        match self {
            Self::Set(write) => &write.key,
            Self::Delete(key) => key,
        }
    }

    /// What it writes; none: it deletes.
    pub(crate) fn write(&self) -> Option<&Write> {
        match self {
            Self::Set(write) => Some(write),
            Self::Delete(_) => None,
        }
    }

    /// What the record takes up afterwards.
    pub(crate) fn bytes(&self) -> u64 {
        self.write().map_or(0, |write| record_bytes(&write.key, &write.value))
    }
}

/// Checks what every backend may rely on.
///
/// # Errors
/// When a key or a value is no such thing, when there is too much, and when a key is changed twice.
pub(crate) fn check(checks: &[Check], changes: &[Change]) -> Result<(), Error> {
    if checks.len() + changes.len() > TRANSACTION_PARTS_MAX {
        return Err(Error::Transaction);
    }
    let mut bytes = 0;
    for check in checks {
        check_key(&check.key)?;
        bytes += check.key.len() + check.value.as_ref().map_or(0, Bytes::len);
    }
    let mut changed = HashSet::new();
    for change in changes {
        bytes += change.key().len();
        match change {
            Change::Set(write) => {
                write.check()?;
                bytes += write.value.len();
            }
            Change::Delete(key) => check_key(key)?,
        }
        if !changed.insert(change.key()) {
            return Err(Error::Twice);
        }
    }
    if bytes > TRANSACTION_BYTES_MAX { Err(Error::Transaction) } else { Ok(()) }
}

/// What a number is after `delta` was added to the live value, or to nothing.
///
/// # Errors
/// [`Error::Number`] unless the value is what an `i64` is written as: no sign but a minus, no zeros before it, no
/// space; [`Error::Overflow`] when the sum is no `i64`.
pub(crate) fn sum(live: Option<&[u8]>, delta: i64) -> Result<i64, Error> {
    let before = live.map_or(Ok(0), |value| number(value).ok_or(Error::Number))?;
    before.checked_add(delta).ok_or(Error::Overflow)
}

fn number(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_in_one_way_only() {
        for number in [0, 1, -1, 10, i64::MAX, i64::MIN] {
            assert_eq!(sum(Some(number.to_string().as_bytes()), 0).unwrap(), number);
        }
        let others: [&[u8]; 12] = [
            b"",
            b" 1",
            b"1 ",
            b"+1",
            b"01",
            b"-0",
            b"1.0",
            b"1e3",
            b"0x1",
            b"\xff",
            b"1\0",
            b"9223372036854775808",
        ];
        for other in others {
            assert!(matches!(sum(Some(other), 1), Err(Error::Number)), "{other:?}");
        }
        assert_eq!(sum(None, -3).unwrap(), -3);
        assert!(matches!(sum(Some(b"9223372036854775807"), 1), Err(Error::Overflow)));
        assert!(matches!(sum(Some(b"-1"), i64::MIN), Err(Error::Overflow)));
    }
}
