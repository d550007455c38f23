//! Typed client of the control API (`micro_api::routes`): what the CLI, tests and other tools speak.
//!
//! [`Client`] is cheap to clone. Every answer is bounded: a JSON body by [`BODY_BYTES_MAX`], a log line by
//! [`LINE_BYTES_MAX`], a message of a stream by [`BODY_BYTES_MAX`]. Redirects are not followed.

mod account;
mod address;
mod blob;
mod broker;
mod call;
mod config;
mod deployment;
mod error;
mod events;
mod jobs;
mod lines;
mod logs;
mod registry;
mod store;
mod stream;
mod transport;
mod upload;

#[cfg(test)]
mod tests;

pub use account::Page;
pub use address::{Address, AddressError};
pub use call::Call;
pub use deployment::Wait;
pub use error::Error;
pub use jobs::RunQuery;
pub use logs::{LINE_BYTES_MAX, LogQuery};
pub use registry::Watcher;
pub use transport::{BODY_BYTES_MAX, Client};

/// What a request gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;
