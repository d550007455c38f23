//! Messages between services: a topic's message calls an endpoint of whoever subscribed.
//!
//! Subscribers of one queue are a group: each message goes to one of them, at least once, until it is answered or given
//! up. Without a queue the group is one service on one node, so that each has every message.

mod admin;
mod backend;
#[cfg(test)]
mod contract;
mod follow;
mod host;
mod key;
mod memory;
mod metrics;
#[cfg(test)]
mod model;
mod pump;
#[cfg(test)]
mod pump_tests;
mod redis;

pub use admin::Admin;
pub use backend::{
    Backend, Claim, Claimed, Dead, Error, Filter, GroupState, HEADER_BYTES_MAX, HEADERS_MAX,
    MESSAGE_BYTES_MAX, Message, Token,
};
pub use follow::{Broker, Subscription};
pub use key::{Group, GroupKey, TopicKey, Topics};
pub use memory::{Memory, MemoryConfig};
pub use pump::{Call, Deliver, Delivery, Pump, Source, Target, Undelivered};
pub use redis::{Redis, RedisBrokerConfig};
