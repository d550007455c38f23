//! What a backend must do, in the platform's own words. `contract` is the suite that each one passes.

use async_trait::async_trait;
use bytes::Bytes;
use micro_api::name::Namespace;

use super::transaction::{TRANSACTION_BYTES_MAX, TRANSACTION_PARTS_MAX};
use super::{Change, Check, TableKey};

/// Longest key, bytes.
pub const KEY_BYTES_MAX: usize = 1 << 10;
/// Longest value, bytes.
pub const VALUE_BYTES_MAX: usize = 4 << 20;
/// Most records in one page.
pub const BATCH_RECORDS_MAX: usize = 1_000;
/// Most bytes of keys and values in one page; a page has at least one record.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// Most keys that a scan with a suffix or an offset looks at.
pub const SCAN_KEYS_MAX: usize = 100_000;

/// One record. Equal keys are one record; order is bytewise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// At most [`KEY_BYTES_MAX`], not empty.
    pub key: Bytes,
    /// At most [`VALUE_BYTES_MAX`]; empty in a page of [`Want::Keys`].
    pub value: Bytes,
    /// Unix milliseconds from which on the record is gone; none: never.
    pub expires_ms: Option<u64>,
}

/// What to write.
#[derive(Debug, Clone)]
pub struct Write {
    /// At most [`KEY_BYTES_MAX`], not empty.
    pub key: Bytes,
    /// At most [`VALUE_BYTES_MAX`].
    pub value: Bytes,
    /// Time to live, milliseconds; none: for ever. 0 writes a record that is gone at once.
    pub ttl_ms: Option<u64>,
}

/// Whether a page carries values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Keys and values.
    Records,
    /// Keys; values are left empty.
    Keys,
}

/// Which keys a page is cut from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    /// Keys that start with it.
    pub prefix: Bytes,
    /// Keys that end with it.
    pub suffix: Bytes,
    /// Keys after it; need not exist.
    pub after: Option<Bytes>,
    /// Live matches to skip.
    pub offset: u64,
    /// Most records; capped at [`BATCH_RECORDS_MAX`].
    pub limit: usize,
}

/// Records in key order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// At most [`BATCH_RECORDS_MAX`] and, but for the first, [`BATCH_BYTES_MAX`].
    pub records: Vec<Record>,
    /// The page was cut by a bound of the platform's, not by `limit`: continue with `after` the last key.
    pub more: bool,
}

/// Why a store call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The key is empty or too long.
    #[error("a key has 1 to {KEY_BYTES_MAX} bytes")]
    Key,
    /// The value is too long.
    #[error("a value has at most {VALUE_BYTES_MAX} bytes")]
    Value,
    /// Not a table name.
    #[error("a table name has 1 to 256 bytes and no control characters")]
    Table,
    /// The namespace, or the disk, has no room left.
    #[error("the namespace's store is full")]
    Full,
    /// The namespace's plan allows no more.
    #[error(
        "limit: store_bytes: the plan of this namespace allows {0} bytes in the store: delete records, or ask the \
         operator for a larger plan"
    )]
    Quota(u64),
    /// Too many keys to look at.
    #[error(
        "a scan by suffix or offset stops after {SCAN_KEYS_MAX} keys: use a prefix, or `after` the last key"
    )]
    Scan,
    /// Too many checks and changes, or too many bytes of them.
    #[error(
        "a transaction has at most {TRANSACTION_PARTS_MAX} checks and changes, and {TRANSACTION_BYTES_MAX} bytes of \
         keys and values"
    )]
    Transaction,
    /// One key, two changes.
    #[error("a transaction changes a key only once")]
    Twice,
    /// Nothing that can be counted with.
    #[error("the value is not the decimal text of a 64-bit integer, so nothing can be added to it")]
    Number,
    /// The sum is no 64-bit integer.
    #[error("the sum is beyond a 64-bit integer")]
    Overflow,
    /// More calls wait than the backend queues.
    #[error("the store is busy")]
    Busy,
    /// The backend's server does not answer, and the call may be tried again; the text is for the operator.
    #[error("the store's server does not answer: {0}")]
    Away(String),
    /// The backend's server went away under a call that must not be made twice; the text is for the operator.
    #[error("the store's server went away before it answered: {0}")]
    Unknown(String),
    /// The backend failed; the text is for the operator.
    #[error("store backend: {0}")]
    Backend(String),
}

/// A key-value store. Reads see every write that was acknowledged before; an acknowledged write survives a crash
/// unless the backend is in memory. Expired records are invisible at once.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The record, unless there is none or it has expired.
    async fn get(&self, table: &TableKey, key: &[u8]) -> Result<Option<Record>, Error>;

    /// Writes over whatever is there.
    async fn set(&self, table: &TableKey, write: Write) -> Result<(), Error>;

    /// Removes; a missing key is no error.
    async fn delete(&self, table: &TableKey, key: &[u8]) -> Result<(), Error>;

    /// Adds `delta` to a number, kept as the decimal text of an `i64`, and gives the sum. A record that is missing or
    /// has expired counts as 0 and is made, with `ttl_ms` as in [`Write`]; one that is there keeps its expiry.
    ///
    /// Never sent twice: [`Error::Unknown`] when nobody knows whether it happened.
    async fn increment(
        &self,
        table: &TableKey,
        key: &[u8],
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, Error>;

    /// Makes all changes or none, in one moment for everybody who looks. False: a check did not hold.
    ///
    /// Never sent twice: [`Error::Unknown`] when nobody knows whether it happened.
    async fn commit(&self, table: &TableKey, checks: Vec<Check>, changes: Vec<Change>)
    -> Result<bool, Error>;

    /// One page in key order.
    async fn scan(&self, table: &TableKey, range: Range, want: Want) -> Result<Page, Error>;

    /// Names of the namespace's tables with at least one record, sorted; at most 10 000.
    async fn tables(&self, namespace: &Namespace) -> Result<Vec<String>, Error>;

    /// Whether it can be used now; a backend of this process always can.
    async fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Checks what every backend may rely on.
pub(crate) fn check_key(key: &[u8]) -> Result<(), Error> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX { Err(Error::Key) } else { Ok(()) }
}

impl Write {
    /// When the record expires, Unix milliseconds.
    pub(crate) fn expires_ms(&self, now_ms: u64) -> Option<u64> {
        self.ttl_ms.map(|ttl| now_ms.saturating_add(ttl))
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_key(&self.key)?;
        if self.value.len() > VALUE_BYTES_MAX { Err(Error::Value) } else { Ok(()) }
    }
}
