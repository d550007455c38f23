//! What a guest may import, and the backends behind it.
//!
//! One folder a capability. `host.rs` is the only part that the guest's calls reach: it checks the grant, scopes and
//! meters; behind it lies a narrow trait in our own words, with one file a backend and one contract suite for all.
//!
//! Two packages, `micro:platform` (component-model async) and `micro:platform-sync`, share one implementation: each
//! binding turns its arguments into a call on [`Handle`], which owns all it needs and so outlives no borrow of the
//! instance's store.

pub mod aside;
mod bells;
mod bindings;
pub mod blob;
pub mod broker;
#[cfg(test)]
mod certificates;
pub mod client;
pub mod config;
mod context;
mod ctx;
pub mod events;
mod grant;
mod guest;
pub mod http;
mod keeping;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod line;
mod link;
pub mod log;
mod postgres;
mod redis;
pub mod registry;
mod scope;
mod sqlite;
pub mod store;
pub mod streaming;
pub mod sync;
mod tally;
#[cfg(test)]
mod tests;

pub use bindings::{platform, platform_sync};
pub use context::{Account, Context};
pub use ctx::{CallId, Ctx, Handle};
pub use grant::{GrantError, Granted};
pub use guest::{Capabilities, Guest};
pub use link::{HasCapability, Kind, View, add_to_linker};
pub use redis::RedisConfig;
pub use scope::Scope;
pub use tally::{Full, Space, SpaceLimits, Sums, Tallies, Tally};
