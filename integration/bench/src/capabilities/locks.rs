//! Takes a lock that nobody holds and gives it back: two calls.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use micro_capability::{Capabilities, sync};
use uuid::Uuid;

use super::compare::{Case, Judge, compare};
use super::floor::Floor;
use super::looper::{Looper, Operation, name};
use super::servers::{self, NAMESPACE, TABLE};
use super::{KEYS, map};
use crate::Effort;
use crate::table::Row;

const COMMON: &str = include_str!("../../../../host/capability/src/sync/redis/common.lua");
const TAKE: &str = include_str!("../../../../host/capability/src/sync/redis/take.lua");
const RELEASE: &str = include_str!("../../../../host/capability/src/sync/redis/release.lua");
const SCHEMA: &str = "bench_locks";
const PREFIX: &str = "bench-locks";
/// Connections to PostgreSQL, as many as our locks have.
const CONNECTIONS: u32 = 4;
/// How long a lock is held at most, milliseconds.
const TTL_MS: i64 = 60_000;
/// How many a namespace holds, and how long Redis keeps them, milliseconds: as our backend says it.
const HELD_MAX: i64 = sync::HELD_MAX as i64;
const KEPT_MS: i64 = 3_660_000;

pub(super) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let memory = Subject {
        name: "memory",
        backend: Arc::<sync::Memory>::default(),
        floor_name: "a map alone",
        floor: map::locks(KEYS),
        count: 5_000,
        judge: Judge::Embedded,
    };
    let mut rows = on(memory, effort).await.context("locks in memory")?;
    if let Some(url) = servers::postgres_url() {
        rows.extend(on_postgres(&url, effort).await.context("locks in PostgreSQL")?);
    }
    if let Some(url) = servers::redis_url() {
        rows.extend(on_redis(&url, effort).await.context("locks in Redis")?);
    }
    Ok(rows)
}

/// A backend and its floor.
struct Subject {
    name: &'static str,
    backend: Arc<dyn sync::Backend>,
    floor_name: &'static str,
    floor: Floor,
    count: u64,
    judge: Judge,
}

async fn on(subject: Subject, effort: Effort) -> Result<Vec<Row>> {
    let Subject { name, backend, floor_name, floor, count, judge } = subject;
    let looper = Looper::new(|capabilities| Capabilities { sync: backend, ..capabilities }).await?;
    let case = Case {
        what: format!("locks: acquire and release in {name}"),
        operation: Operation { name: "locks.cycle", keys: KEYS, bytes: 0 },
        count,
        floor_name,
        floor,
        judge,
        allowed: None,
    };
    compare(&looper, &case, effort).await
}

async fn on_postgres(url: &str, effort: Effort) -> Result<Vec<Row>> {
    let config = sync::PostgresConfig { schema: SCHEMA.to_owned(), ..sync::PostgresConfig::new(url) };
    let backend = sync::Postgres::open(&config).await?;
    let server = servers::Postgres::connect(url, SCHEMA, CONNECTIONS).await?;
    let floor = statements(&server);
    let (name, floor_name) = ("PostgreSQL", "sqlx alone");
    let subject = Subject { name, backend, floor_name, floor, count: 1_000, judge: Judge::Throughput };
    let rows = on(subject, effort).await;
    server.remove().await?;
    rows
}

async fn on_redis(url: &str, effort: Effort) -> Result<Vec<Row>> {
    let mut config = sync::RedisSyncConfig::new(url);
    PREFIX.clone_into(&mut config.server.prefix);
    let backend = sync::Redis::open(&config).await?;
    let server = servers::Redis::connect(url, PREFIX).await?;
    let floor = scripts(server.clone());
    let (name, floor_name) = ("Redis", "redis-rs alone");
    let subject = Subject { name, backend, floor_name, floor, count: 500, judge: Judge::Throughput };
    let rows = on(subject, effort).await;
    server.remove().await?;
    rows
}

/// The function and the statement that our locks in PostgreSQL use.
fn statements(server: &servers::Postgres) -> Floor {
    let pool = server.pool.clone();
    Floor::new(move |number| {
        let pool = pool.clone();
        async move {
            let (lock, token) = (name(number % KEYS), Uuid::new_v4().simple().to_string());
            let take = sqlx::query_as::<_, (i32, i64, Option<i64>)>(
                "SELECT state, given, left_ms FROM take($1, $2, $3, $4, $5, $6, $7)",
            );
            let take = take.bind(NAMESPACE).bind(TABLE).bind(&lock).bind(&token).bind(None::<&str>);
            let (state, ..) = take.bind(TTL_MS).bind(HELD_MAX).fetch_one(&pool).await?;
            ensure!(state == 0, "the lock was not taken");
            let release = sqlx::query(
                "DELETE FROM locks WHERE namespace = $1 AND service = $2 AND name = $3 AND token = $4
                   AND expires_ms > now_ms()",
            );
            let release = release.bind(NAMESPACE).bind(TABLE).bind(&lock).bind(&token);
            ensure!(release.execute(&pool).await?.rows_affected() == 1, "the lock was not held");
            Ok(())
        }
    })
}

/// The scripts that our locks in Redis use.
fn scripts(server: servers::Redis) -> Floor {
    let script = |own: &str| Arc::new(redis::Script::new(&[COMMON, own].concat()));
    let (take, release) = (script(TAKE), script(RELEASE));
    let keys = ["locks", "expiries", "fence"].map(|what| format!("{PREFIX}:sync:{{{NAMESPACE}}}:{what}"));
    let keys = Arc::new(keys);
    Floor::new(move |number| {
        let (server, keys) = (server.clone(), Arc::clone(&keys));
        let (take, release) = (Arc::clone(&take), Arc::clone(&release));
        async move {
            let token = Uuid::new_v4().simple().to_string();
            let lock = format!("{TABLE}\n{}", name(number % KEYS));
            let mut call = take.prepare_invoke();
            call.key(keys.as_slice()).arg(&lock).arg(&token).arg("").arg(TTL_MS).arg(HELD_MAX).arg(KEPT_MS);
            let mut connection = server.connection(number.wrapping_mul(2))?;
            let (state, _, _): (i64, u64, i64) = call.invoke_async(&mut connection).await?;
            ensure!(state == 0, "the lock was not taken");
            let mut call = release.prepare_invoke();
            call.key(keys.as_slice()).arg(&lock).arg(&token).arg(format!("{PREFIX}:sync:free"));
            call.arg(format!("{NAMESPACE}\n{lock}"));
            let mut connection = server.connection(number.wrapping_mul(2) + 1)?;
            let done: i64 = call.invoke_async(&mut connection).await?;
            ensure!(done == 1, "the lock was not held");
            Ok(())
        }
    })
}
