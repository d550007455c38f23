//! Several keys at once.

use std::time::Duration;

use crate::{Error, host};

/// What a transaction asks of a key: exactly this value, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) key: String,
    pub(crate) value: Option<Vec<u8>>,
}

/// What a transaction does with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: String,
    /// The value and its time to live; none: the record goes.
    pub(crate) write: Option<(Vec<u8>, Option<Duration>)>,
}

/// Checks and changes of a service's own table that happen together or not at all.
///
/// At most 100 checks and changes, 4 MiB of keys and values in all, and one change a key.
///
/// ```
/// use micro_sdk::store::{self, Transaction};
///
/// # micro_sdk::test::World::new().block_on(async {
/// store::set("order/1", "open").await?;
/// let paid = Transaction::new()
///     .holds("order/1", "open")
///     .absent("receipt/1")
///     .set("order/1", "paid")
///     .set("receipt/1", "7 EUR")
///     .commit()
///     .await?;
/// assert!(paid);
/// # Ok::<_, micro_sdk::Error>(())
/// # })?;
/// # Ok::<_, micro_sdk::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "nothing happens until `commit`"]
pub struct Transaction {
    checks: Vec<Check>,
    changes: Vec<Change>,
}

impl Transaction {
    /// One that asks nothing and does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if `key` holds exactly this value.
    pub fn holds(mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.checks.push(Check { key: key.into(), value: Some(value.into()) });
        self
    }

    /// Only if there is no record of `key`, or it has expired.
    pub fn absent(mut self, key: impl Into<String>) -> Self {
        self.checks.push(Check { key: key.into(), value: None });
        self
    }

    /// Writes `value` under `key`, over what is there.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.changes.push(Change { key: key.into(), write: Some((value.into(), None)) });
        self
    }

    /// Writes `value` under `key` for the time of `ttl`.
    pub fn set_for(mut self, key: impl Into<String>, value: impl Into<Vec<u8>>, ttl: Duration) -> Self {
        self.changes.push(Change { key: key.into(), write: Some((value.into(), Some(ttl))) });
        self
    }

    /// Removes `key`; a missing one is no error.
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.changes.push(Change { key: key.into(), write: None });
        self
    }

    /// Does all of it, or nothing: then a check did not hold and the answer is false.
    ///
    /// # Errors
    /// 400 when there is too much of it or a key is changed twice; 403 when the store is not granted or the namespace is
    /// full; 503 when the store's server went away meanwhile, so that nobody knows whether it happened.
    pub async fn commit(self) -> Result<bool, Error> {
        host::store_commit(self.checks, self.changes).await
    }
}
