//! `store.get` and `store.set` on each backend.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use micro_capability::Capabilities;
use micro_capability::store::{
    Backend, Memory, Postgres, PostgresConfig, Redis, RedisStoreConfig, Sqlite, SqliteConfig,
};

use super::compare::{Case, Judge, compare};
use super::floor::Floor;
use super::looper::{Looper, Operation};
use super::sqlite::Medium;
use super::{KEYS, VALUE_BYTES, map, seed, servers, sqlite};
use crate::Effort;
use crate::table::Row;

/// What `store.get` of a hot key in SQLite may take.
const HOT_GET: Duration = Duration::from_micros(10);
/// Largest store in memory, and largest file of one namespace: nothing is full here.
const BYTES_MAX: u64 = 8 << 30;

/// Connections to PostgreSQL, as many as our store has.
pub(super) const CONNECTIONS: u32 = 16;

pub(super) const GET: Operation = Operation { name: "store.get", keys: KEYS, bytes: VALUE_BYTES };
pub(super) const SET: Operation = Operation { name: "store.set", ..GET };

/// A backend, how it is called, and how often in a turn.
struct Subject {
    name: &'static str,
    backend: Arc<dyn Backend>,
    floor_name: &'static str,
    get: Floor,
    set: Floor,
    gets: u64,
    sets: u64,
    judge: Judge,
    judge_of_set: Judge,
    allowed: Option<Duration>,
}

pub(super) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let memory: Arc<dyn Backend> = Arc::new(Memory::new(BYTES_MAX));
    let map = map::Map::filled(KEYS, VALUE_BYTES);
    let subject = Subject {
        name: "memory",
        backend: memory,
        floor_name: "a map alone",
        get: map.get(KEYS),
        set: map.set(KEYS, VALUE_BYTES),
        gets: 20_000,
        sets: 20_000,
        judge: Judge::Embedded,
        judge_of_set: Judge::Embedded,
        allowed: None,
    };
    let mut rows = measure_on(subject, effort).await?;
    for medium in [Medium::Memory, Medium::Disk] {
        rows.extend(measure_on_sqlite(medium, effort).await.with_context(|| medium.name())?);
    }
    if let Some(url) = servers::postgres_url() {
        rows.extend(measure_on_postgres(&url, effort).await.context("the store in PostgreSQL")?);
    }
    if let Some(url) = servers::redis_url() {
        rows.extend(measure_on_redis(&url, effort).await.context("the store in Redis")?);
    }
    Ok(rows)
}

/// The store in a folder, with the default memory for hot keys or another.
pub(super) fn sqlite_in(folder: &std::path::Path, cache_bytes_max: Option<u64>) -> Result<Arc<Sqlite>> {
    let mut config = SqliteConfig { namespace_bytes_max: BYTES_MAX, ..SqliteConfig::new(folder.to_owned()) };
    config.cache_bytes_max = cache_bytes_max.unwrap_or(config.cache_bytes_max);
    Ok(Sqlite::open(&config)?)
}

/// The store in a schema of PostgreSQL.
pub(super) async fn postgres_in(url: &str, schema: &str) -> Result<Arc<Postgres>> {
    let config = PostgresConfig { schema: schema.to_owned(), ..PostgresConfig::new(url) };
    Ok(Postgres::open(&config).await?)
}

/// The store below a prefix of Redis.
pub(super) async fn redis_in(url: &str, prefix: &str) -> Result<Arc<Redis>> {
    let mut config = RedisStoreConfig::new(url);
    config.server.prefix = prefix.to_owned();
    Ok(Redis::open(&config).await?)
}

/// A guest whose store this is.
pub(super) async fn looper(store: Arc<dyn Backend>) -> Result<Looper> {
    Looper::new(|capabilities| Capabilities { store, ..capabilities }).await
}

async fn measure_on(subject: Subject, effort: Effort) -> Result<Vec<Row>> {
    seed::store(&*subject.backend, KEYS, VALUE_BYTES).await.with_context(|| subject.name)?;
    let looper = looper(Arc::clone(&subject.backend)).await?;
    let case = |operation: Operation, count, floor: &Floor, judge, allowed| Case {
        what: format!("{} in {}", operation.name, subject.name),
        operation,
        count,
        floor_name: subject.floor_name,
        floor: floor.clone(),
        judge,
        allowed,
    };
    let get = case(GET, subject.gets, &subject.get, subject.judge, subject.allowed);
    let mut rows = compare(&looper, &get, effort).await?;
    let set = case(SET, subject.sets, &subject.set, subject.judge_of_set, None);
    rows.extend(compare(&looper, &set, effort).await?);
    Ok(rows)
}

async fn measure_on_sqlite(medium: Medium, effort: Effort) -> Result<Vec<Row>> {
    let folder = medium.folder()?;
    let backend: Arc<dyn Backend> = sqlite_in(folder.path(), None)?;
    // Makes the file.
    seed::store(&*backend, 1, VALUE_BYTES).await?;
    let file = sqlite::File::open(folder.path())?;
    let subject = Subject {
        name: medium.name(),
        backend,
        floor_name: "rusqlite alone",
        get: file.get(KEYS),
        set: file.set(KEYS, VALUE_BYTES),
        gets: 20_000,
        sets: 500,
        judge: Judge::Embedded,
        judge_of_set: medium.judge(),
        allowed: Some(HOT_GET),
    };
    measure_on(subject, effort).await
}

async fn measure_on_postgres(url: &str, effort: Effort) -> Result<Vec<Row>> {
    let backend = postgres_in(url, "bench_store").await?;
    let server = servers::Postgres::connect(url, "bench_store", CONNECTIONS).await?;
    let subject = Subject {
        name: "PostgreSQL",
        backend,
        floor_name: "sqlx alone",
        get: server.get(KEYS),
        set: server.set(KEYS, VALUE_BYTES),
        gets: 4_000,
        sets: 2_000,
        judge: Judge::Throughput,
        judge_of_set: Judge::Throughput,
        allowed: None,
    };
    let rows = measure_on(subject, effort).await;
    server.remove().await?;
    rows
}

async fn measure_on_redis(url: &str, effort: Effort) -> Result<Vec<Row>> {
    let backend = redis_in(url, "bench-store").await?;
    let server = servers::Redis::connect(url, "bench-store").await?;
    let subject = Subject {
        name: "Redis",
        backend,
        floor_name: "redis-rs alone",
        get: server.get(KEYS),
        set: server.set(KEYS, VALUE_BYTES),
        gets: 4_000,
        sets: 500,
        judge: Judge::Throughput,
        judge_of_set: Judge::Throughput,
        allowed: None,
    };
    let rows = measure_on(subject, effort).await;
    server.remove().await?;
    rows
}
