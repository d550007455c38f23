//! Events: a durable log a topic, and groups that consume it.
//!
//! An event is appended once and stays until retention takes it; each group reads it at its own pace, at least once,
//! in order while nothing is retried.

mod admin;
mod backend;
mod bells;
mod consume;
#[cfg(test)]
mod consume_tests;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod faults;
mod host;
mod key;
mod postgres;
mod redis;
mod retention;
mod sqlite;
mod tail;

pub use self::redis::{Redis, RedisEventsConfig};
pub use admin::Admin;
pub use backend::{
    APPEND_BYTES_MAX, APPEND_EVENTS_MAX, Appended, Backend, Delivery, Error, Event, From, GROUPS_MAX,
    GroupInfo, IN_FLIGHT_MAX, Lease, METADATA_BYTES_MAX, METADATA_ENTRIES_MAX, Nack, New, PAYLOAD_BYTES_MAX,
    PENDING_MAX, Page, READ_BYTES_MAX, READ_EVENTS_MAX, REASON_BYTES_MAX, TOPICS_MAX, Then, TopicInfo,
};
pub use consume::{Consumer, Consumers};
pub use key::{GroupKey, TopicKey};
pub use postgres::{Postgres, PostgresConfig};
pub use retention::{Plans, Retention};
pub use sqlite::{Sqlite, SqliteConfig};
pub use tail::Tail;
