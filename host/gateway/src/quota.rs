//! What a namespace may use up in a longer time than a second; somebody else counts it.

use micro_api::{Namespace, ServiceName};

/// A budget that is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// The limit's name, as plans spell it: `requests_per_month`.
    pub limit: &'static str,
    /// Its value.
    pub max: i64,
    /// When there is some again, Unix milliseconds; none: not by waiting.
    pub resets_ms: Option<i64>,
    /// What the namespace's owner can do about it: a sentence without its full stop.
    pub what_to_do: String,
}

/// Counts requests against budgets.
///
/// It is asked on each request, so it never waits: budgets are leased ahead, in slices, by somebody else.
pub trait Quota: Send + Sync {
    /// Counts one request to `service`.
    ///
    /// # Errors
    /// The budget that is used up; nothing was counted then.
    fn admit(&self, namespace: &Namespace, service: &ServiceName) -> Result<(), Exceeded>;
}

/// No budgets at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoQuota;

impl Quota for NoQuota {
    fn admit(&self, _: &Namespace, _: &ServiceName) -> Result<(), Exceeded> {
        Ok(())
    }
}
