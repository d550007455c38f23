//! What the control plane remembers: services, versions, deployments, revisions, build jobs, build logs, build caches and
//! uploads, in SQLite or PostgreSQL.
//!
//! A deployment's state changes only here. Each change is one transaction that reads the state, refuses an illegal
//! step, and writes; [`state`] has the table of legal steps. Every write transaction of a namespace excludes the
//! others, so what it reads stays true until it commits. Nothing is acknowledged before it is on disk.
//!
//! Builders work through [`jobs`]: they claim, beat, report and finish; whoever lost the lease changes nothing.

mod dialect;
mod migrate;
mod query;
mod row;

pub mod access;
pub mod accounts;
pub mod build_cache;
pub mod build_log;
pub mod changes;
pub mod deployments;
pub mod error;
pub mod jobs;
pub mod keys;
pub mod people;
pub mod prune;
pub mod reconcile;
pub mod revisions;
pub mod rules;
pub mod services;
pub mod sessions;
pub mod signing;
pub mod state;
pub mod submit;
pub mod uploads;

pub use accounts::NamespaceAccount;
pub use build_cache::CacheEntry;
pub use changes::Changes;
pub use dialect::Db;
pub use error::Error;
pub use jobs::BuildJob;
pub use keys::ApiKey;
pub use people::{Membership, Person};
pub use reconcile::Work;
pub use rules::Tenant;
pub use services::Version;
pub use sessions::{Rotation, Session};
pub use signing::SealedKey;
pub use submit::Action;

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
