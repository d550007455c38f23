//! Locks and leaders: leases with a fence, shared by all instances of a service.
//!
//! A lock ends with its time whatever its holder does meanwhile, so it keeps nobody from acting late: the fence does,
//! wherever it is compared. Fences of a namespace only grow, and begin at the clock's milliseconds (in Redis: its
//! microseconds), so that they also grow when what counted them was lost, as long as the clock was not set back.

mod backend;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod faults;
mod host;
mod key;
mod memory;
#[cfg(test)]
mod model;
mod postgres;
mod redis;
mod taking;
mod waiters;

pub use self::redis::{Redis, RedisSyncConfig};
pub use backend::{Backend, Claim, Error, HELD_MAX, Lock, TTL_MAX, TTL_MIN, WAITERS_MAX};
pub use key::LockKey;
pub use memory::Memory;
pub use postgres::{Postgres, PostgresConfig};
