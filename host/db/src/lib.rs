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
pub mod attempts;
pub mod audit;
pub mod blobs;
pub mod bootstrap;
pub mod build_cache;
pub mod build_log;
pub mod calendar;
pub mod changes;
pub mod codes;
pub mod config;
pub mod copy;
pub mod credentials;
pub mod deletion;
pub mod deployments;
pub mod devices;
pub mod error;
pub mod external;
pub mod flows;
pub mod identities;
pub mod invitations;
pub mod jobs;
pub mod keys;
pub mod ledger;
pub mod members;
pub mod nodes;
pub mod operator;
pub mod people;
mod platform_keys;
pub mod profile;
pub mod projects;
pub mod prune;
pub mod quota;
pub mod reconcile;
pub mod revisions;
pub mod rules;
pub mod runs;
pub mod sealed;
pub mod services;
pub mod sessions;
pub mod signing;
pub mod signup;
pub mod state;
pub mod submit;
pub mod uploads;
pub mod usage;

pub use accounts::NamespaceAccount;
pub use attempts::Bound;
pub use audit::{Actor, Entry};
pub use blobs::Blob;
pub use build_cache::CacheEntry;
pub use changes::Changes;
pub use codes::{Code, Purpose};
pub use config::{ConfigFault, Copied, Held as HeldConfig, SealedSecret, Write as ConfigWrite};
pub use copy::{Filling, Snapshot, Table};
pub use credentials::{Held, Holder, Use};
pub use devices::Poll;
pub use dialect::Db;
pub use error::{Error, Refusal};
pub use external::External;
pub use flows::{Flow, Step};
pub use identities::{Identity, NewIdentity};
pub use invitations::{NewInvitation, Waiting};
pub use jobs::BuildJob;
pub use keys::ApiKey;
pub use nodes::Beat;
pub use people::{Membership, Person};
pub use projects::Founding;
pub use quota::Quotas;
pub use reconcile::Work;
pub use rules::Tenant;
pub use runs::{Claimed, HeldRun, ScheduleKey, Wish};
pub use sealed::{Place, Sealed};
pub use services::Version;
pub use sessions::{Rotation, Session};
pub use signing::SealedKey;
pub use signup::{Home, NewPerson, Proof, SignedUp};
pub use submit::Action;

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
