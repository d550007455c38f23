//! Keys and values that outlive an instance. A service sees its own table only.
//!
//! It must be granted: `store = ["own"]` under `[grants]` in `micro.toml`. A key has 1 to 1 024 bytes, a value at most
//! 4 MiB, and one answer of [`read`] or [`list`] at most 1 000 entries or 1 MiB.

use std::time::Duration;

use crate::{Error, host};

mod pages;
mod transaction;

pub use pages::{Pages, pages};
pub use transaction::Transaction;
pub(crate) use transaction::{Change, Check};

/// One entry of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The time left; none when it never expires.
    pub expiry: Option<Duration>,
}

/// Which keys to look at; the default is all of them.
///
/// ```
/// use micro_sdk::store::Range;
///
/// let page = Range { prefix: Some("user/".into()), limit: Some(100), ..Range::default() };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    /// Only keys that begin so.
    pub prefix: Option<String>,
    /// Only keys that end so. Such a scan stops with an error after 100 000 keys.
    pub suffix: Option<String>,
    /// Only keys after this one: the way to read page by page.
    pub after: Option<String>,
    /// At most so many entries; never more than 1 000.
    pub limit: Option<u32>,
    /// Skips so many entries first. Unlike `after` it is not stable while others write.
    pub offset: u32,
}

/// The record of `key`; none when there is none or it has expired.
///
/// # Errors
/// 403 when the store is not granted, 400 for a key that is too long, 500 when the store fails.
pub async fn get(key: &str) -> Result<Option<Record>, Error> {
    host::store_get(key.to_owned()).await
}

/// Writes `value` under `key`, over what was there.
///
/// # Errors
/// As [`get`]; 400 also for a value that is too long.
pub async fn set(key: &str, value: impl Into<Vec<u8>>) -> Result<(), Error> {
    host::store_set(key.to_owned(), value.into(), None).await
}

/// Writes `value` under `key` for the time of `ttl`, which has a resolution of one millisecond.
///
/// # Errors
/// As [`set`].
pub async fn set_for(key: &str, value: impl Into<Vec<u8>>, ttl: Duration) -> Result<(), Error> {
    host::store_set(key.to_owned(), value.into(), Some(ttl)).await
}

/// Removes `key`; a missing one is no error.
///
/// # Errors
/// As [`get`].
pub async fn delete(key: &str) -> Result<(), Error> {
    host::store_delete(key.to_owned()).await
}

/// Records, ordered by their keys' bytes.
///
/// # Errors
/// As [`get`].
pub async fn read(range: Range) -> Result<Vec<Record>, Error> {
    host::store_read(range).await
}

/// Keys, ordered by their bytes.
///
/// # Errors
/// As [`get`].
pub async fn list(range: Range) -> Result<Vec<String>, Error> {
    host::store_list(range).await
}

/// Adds `delta` to a number and gives the sum, one step for all who count at once. The value is the decimal text of an
/// `i64`; a missing or expired record counts as 0.
///
/// # Errors
/// As [`get`]; 400 also when the value is no number and when the sum is no `i64`; 503 when the store's server went away
/// meanwhile, so that nobody knows whether it happened.
pub async fn increment(key: &str, delta: i64) -> Result<i64, Error> {
    host::store_increment(key.to_owned(), delta, None).await
}

/// As [`increment`], and a record that this makes lasts for the time of `ttl`. Later calls do not prolong it: it is the
/// window of a rate limiter.
///
/// # Errors
/// As [`increment`].
pub async fn increment_for(key: &str, delta: i64, ttl: Duration) -> Result<i64, Error> {
    host::store_increment(key.to_owned(), delta, Some(ttl)).await
}

/// Compare-and-swap: writes `new` under `key` if it holds exactly `old`, or if there is no record where `old` is none.
/// False: it holds something else, and nothing changed.
///
/// # Errors
/// As [`set`]; 503 when the store's server went away meanwhile, so that nobody knows whether it happened.
pub async fn swap(key: &str, old: Option<&[u8]>, new: impl Into<Vec<u8>>) -> Result<bool, Error> {
    let transaction = match old {
        Some(old) => Transaction::new().holds(key, old),
        None => Transaction::new().absent(key),
    };
    transaction.set(key, new).commit().await
}
