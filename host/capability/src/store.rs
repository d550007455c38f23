//! Key-value store: keys and values that outlive an instance.

mod admin;
mod backend;
mod books;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod faults;
mod host;
mod key;
mod memory;
mod page;
mod postgres;
mod redis;
mod sqlite;
mod transaction;
pub mod wasi;
mod writes;

pub use self::redis::{Redis, RedisStoreConfig};
pub use admin::Admin;
pub use backend::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, Backend, Error, KEY_BYTES_MAX, Page, Range, Record, SCAN_KEYS_MAX,
    VALUE_BYTES_MAX, Want, Write,
};
pub use books::Books;
pub use key::TableKey;
pub use memory::Memory;
pub use postgres::{Postgres, PostgresConfig};
pub use sqlite::{Sqlite, SqliteConfig, copy as copy_database, databases};
pub use transaction::{Change, Check, TRANSACTION_BYTES_MAX, TRANSACTION_PARTS_MAX};
