//! What goes on beside requests.

mod job;
pub(crate) mod reconcile;
pub(crate) mod routes;
pub(crate) mod sweep;
pub(crate) mod watch;
