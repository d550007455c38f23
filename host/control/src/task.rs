//! What goes on beside requests.

pub(crate) mod access;
mod job;
pub(crate) mod lease;
mod lost;
pub(crate) mod reconcile;
pub(crate) mod routes;
pub(crate) mod schedule;
pub(crate) mod sweep;
pub(crate) mod usage;
pub(crate) mod watch;
