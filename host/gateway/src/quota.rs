//! What a namespace may use up in a longer time than a second; somebody else counts it.

use micro_api::{Error, Namespace, ServiceName};

use crate::place::GATEWAY;

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

impl Exceeded {
    /// 429, for people.
    pub fn error(&self) -> Error {
        let Self { limit, max, resets_ms, what_to_do } = self;
        let reset = resets_ms.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        let reset = reset.map_or_else(String::new, |at| format!(" until {at}"));
        let detail =
            format!("limit: {limit}: the {max} of the namespace's plan are used up{reset}: {what_to_do}");
        Error::new(GATEWAY, 429, detail)
    }
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

    /// Whether a request of `namespace` would be admitted now; nothing is counted.
    ///
    /// # Errors
    /// The budget that is used up.
    fn check(&self, namespace: &Namespace) -> Result<(), Exceeded>;
}

/// No budgets at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoQuota;

impl Quota for NoQuota {
    fn admit(&self, _: &Namespace, _: &ServiceName) -> Result<(), Exceeded> {
        Ok(())
    }

    fn check(&self, _: &Namespace) -> Result<(), Exceeded> {
        Ok(())
    }
}
