//! Runs revisions of services: one call, one owned future, with every limit on by default.
//!
//! A call goes: [`Runtime::call`], [`Runtime::http`] (`runtime.rs`) or [`Runtime::stream`] (`stream.rs`) → the code is mapped if it is not
//! (`loader.rs`) → an instance that waits, or the right to make one (`lease.rs`, `gate.rs`) → the guest's future (`rpc.rs`, `http/guest.rs`,
//! `job.rs`) on its CPU account (`meter.rs`) → polled here or on the slow threads, under the deadline (`driver.rs`,
//! `slow.rs`) → answer, or a [`Fault`] with two texts (`fault.rs`).
//!
//! **Invariant:** tenant code cannot take this process down, delay a neighbour or outlive its deadline, and nothing it
//! sees or sends carries text of the host.

mod apart;
mod concurrent;
mod config;
mod driver;
mod epoch;
mod fault;
mod gate;
mod http;
mod instance;
mod job;
mod lease;
mod limits;
mod linker;
mod loader;
mod meter;
mod revision;
mod rpc;
mod runtime;
mod slot;
mod slow;
mod state;
mod stats;
mod stream;
mod sweep;

pub use config::{Config, ServiceLimits};
pub use fault::{Fault, Place};
pub use http::{Body, BoxError};
pub use micro_artifact::Codec;
pub use micro_capability::{Account, Context};
pub use revision::Revision;
pub use rpc::Call;
pub use runtime::{Runtime, StartError};
pub use stats::RevisionStats;
pub use stream::{Replies, Requests, StreamCall};

#[cfg(test)]
mod tests;
