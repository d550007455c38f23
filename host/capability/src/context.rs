//! What travels with a call.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::bindings::platform::micro::platform::types as wit;
use crate::bindings::platform_sync::micro::platform_sync::types as wit_sync;

/// Who calls: the end user's account, kept across services.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// One call, as the platform knows it.
#[derive(Debug, Clone)]
pub struct Context {
    /// Absent: nobody signed in.
    pub account: Option<Account>,
    /// Headers of the call; compared without case.
    pub metadata: Vec<(String, String)>,
    /// When the caller gives up. No host call made on the guest's behalf outlives it.
    pub deadline: Instant,
    /// W3C `traceparent` of the call's span.
    pub traceparent: String,
    /// The platform's id of the call; errors and log lines carry it.
    pub request_id: String,
}

impl Context {
    /// The deadline as the guest sees it: Unix time in milliseconds.
    pub fn deadline_unix_ms(&self) -> u64 {
        let left = self.deadline.saturating_duration_since(Instant::now());
        unix_ms().saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    /// What is left until the deadline.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The record that the `handler` export of `micro:platform` takes.
    pub fn to_wit(&self) -> wit::Context {
        wit::Context {
            account: self.account.clone().map(|account| wit::Account {
                id: account.id,
                kind: account.kind,
                issuer: account.issuer,
                scopes: account.scopes,
            }),
            metadata: self.metadata.clone(),
            deadline: self.deadline_unix_ms(),
            traceparent: self.traceparent.clone(),
            request_id: self.request_id.clone(),
        }
    }

    /// The record that the `handler` export of `micro:platform-sync` takes.
    pub fn to_wit_sync(&self) -> wit_sync::Context {
        wit_sync::Context {
            account: self.account.clone().map(|account| wit_sync::Account {
                id: account.id,
                kind: account.kind,
                issuer: account.issuer,
                scopes: account.scopes,
            }),
            metadata: self.metadata.clone(),
            deadline: self.deadline_unix_ms(),
            traceparent: self.traceparent.clone(),
            request_id: self.request_id.clone(),
        }
    }
}

/// Unix time in milliseconds.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
