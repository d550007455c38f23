//! What a handler knows of a call besides its message.

use std::time::{Duration, SystemTime};

/// The budget of a call whose caller named none.
pub(crate) const DEFAULT_BUDGET: Duration = Duration::from_secs(5);

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// The account's id.
    pub id: String,
    /// `user`, `service` or `apikey`.
    pub kind: String,
    /// The namespace that issued it.
    pub issuer: String,
    /// What it may do.
    pub scopes: Vec<String>,
}

/// The context of one call. The platform hands it to each handler; in a test, `Context::default()` makes one.
#[derive(Debug, Clone)]
pub struct Context {
    pub(crate) account: Option<Account>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) deadline: SystemTime,
    pub(crate) traceparent: String,
    pub(crate) request_id: String,
}

impl Context {
    /// The end user's account, kept across services; none when nobody signed in.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// The value of a header of the call; its case does not matter.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
    }

    /// All headers of the call, in the caller's case.
    pub fn all_metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The service that called, if a service did.
    pub fn from_service(&self) -> Option<&str> {
        self.metadata("Micro-From-Service")
    }

    /// When the caller gives up.
    pub fn deadline(&self) -> SystemTime {
        self.deadline
    }

    /// The time left until [`deadline`](Self::deadline); zero when it has passed.
    pub fn remaining(&self) -> Duration {
        self.deadline.duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// W3C `traceparent` of the call's span.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The platform's id of the call; errors and log lines carry it.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The same context with an account, for tests.
    #[must_use]
    pub fn with_account(mut self, account: Account) -> Self {
        self.account = Some(account);
        self
    }

    /// The same context with one more header, for tests.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// The same context with another deadline, for tests.
    #[must_use]
    pub fn with_deadline(mut self, deadline: SystemTime) -> Self {
        self.deadline = deadline;
        self
    }
}

/// Nobody signed in, no headers, five seconds left.
impl Default for Context {
    fn default() -> Self {
        Self {
            account: None,
            metadata: Vec::new(),
            deadline: SystemTime::now() + DEFAULT_BUDGET,
            traceparent: String::new(),
            request_id: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn metadata_is_found_in_any_case() {
        let context = Context::default().with_metadata("Micro-From-Service", "caller");
        assert_eq!(context.metadata("micro-from-service"), Some("caller"));
        assert_eq!(context.from_service(), Some("caller"));
        assert!(context.account().is_none());
    }

    #[test]
    fn a_passed_deadline_leaves_nothing() {
        assert_eq!(Context::default().with_deadline(UNIX_EPOCH).remaining(), Duration::ZERO);
        assert!(Context::default().remaining() > Duration::from_secs(4));
    }
}
