//! The control plane: the API on port 8081 and the reconciler that makes what was asked for true.
//!
//! A request ends in a row (`micro_db`); the builder and [`task::reconcile`] move rows forward; nobody calls back. All
//! routes are on one page, [`router`]; a file of [`api`] is the whole story of one of them.

mod api;
mod config;
mod control;
mod error;
mod extract;
mod guard;
mod near;
mod node;
pub mod openapi;
mod router;
mod task;

pub use config::Config;
pub use control::Control;
pub use node::{ActiveRevision, LogQuery, Node, Unservable};

#[cfg(test)]
mod tests;
