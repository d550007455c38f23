//! Clients of the servers that `cargo xtask bench` started, as one would use them without us.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result};
use redis::aio::MultiplexedConnection;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::floor::Floor;
use super::looper::{key, value, written};

/// What the scripts of our store begin with.
const COMMON: &str = include_str!("../../../../host/capability/src/store/redis/common.lua");
const GET: &str = include_str!("../../../../host/capability/src/store/redis/get.lua");
const PUT: &str = include_str!("../../../../host/capability/src/store/redis/put.lua");

/// The table that the guest uses, and its namespace.
pub(super) const TABLE: &str = "looper";
pub(super) const NAMESPACE: &str = "default";

pub(super) fn postgres_url() -> Option<String> {
    std::env::var("MICRO_TEST_POSTGRES").ok()
}

pub(super) fn redis_url() -> Option<String> {
    std::env::var("MICRO_TEST_REDIS").ok()
}

/// A schema of PostgreSQL, with a pool like that of the backend beside it.
#[derive(Clone)]
pub(super) struct Postgres {
    pub(super) pool: PgPool,
    schema: String,
}

impl Postgres {
    pub(super) async fn connect(url: &str, schema: &str, connections: u32) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)?.options([("search_path", schema)]);
        let pool = PgPoolOptions::new().max_connections(connections).test_before_acquire(false);
        let pool = pool.connect_with(options).await.context("connect to PostgreSQL")?;
        Ok(Self { pool, schema: schema.to_owned() })
    }

    /// The statement that our store reads by.
    pub(super) fn get(&self, keys: u64) -> Floor {
        let pool = self.pool.clone();
        Floor::new(move |number| {
            let pool = pool.clone();
            async move {
                let found = sqlx::query_as::<_, (Vec<u8>, Option<i64>)>(
                    "SELECT value, expires_ms - now_ms() FROM records
                     WHERE namespace = $1 AND table_name = $2 AND key = $3
                       AND (expires_ms IS NULL OR expires_ms > now_ms())",
                );
                let found = found.bind(NAMESPACE).bind(TABLE).bind(key(number, keys).into_bytes());
                found.fetch_one(&pool).await?;
                Ok(())
            }
        })
    }

    /// The statement that our store writes by.
    pub(super) fn set(&self, keys: u64, bytes: u64) -> Floor {
        let (pool, value) = (self.pool.clone(), value(bytes));
        Floor::new(move |number| {
            let (pool, value) = (pool.clone(), written(&value, number));
            async move {
                let put = sqlx::query_as::<_, (i64,)>("SELECT put($1, $2, $3, $4, $5, $6)");
                let put = put.bind(NAMESPACE).bind(TABLE).bind(key(number, keys).into_bytes());
                let put = put.bind(value.as_slice()).bind(None::<i64>).bind(None::<i64>);
                put.fetch_one(&pool).await?;
                Ok(())
            }
        })
    }

    /// Removes the schema.
    pub(super) async fn remove(self) -> Result<()> {
        let sql = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.context("remove the schema")?;
        Ok(())
    }
}

/// Keys of Redis below a prefix, with as many connections as each of our backends has.
#[derive(Clone)]
pub(super) struct Redis {
    connections: Arc<Vec<MultiplexedConnection>>,
    pub(super) prefix: String,
}

impl Redis {
    pub(super) async fn connect(url: &str, prefix: &str) -> Result<Self> {
        let client = redis::Client::open(url)?;
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let mut connections = Vec::new();
        for _ in 0..4 {
            let connection = client.get_multiplexed_async_connection_with_config(&config);
            connections.push(connection.await.context("connect to Redis")?);
        }
        Ok(Self { connections: Arc::new(connections), prefix: prefix.to_owned() })
    }

    /// One of the connections, each in turn.
    pub(super) fn connection(&self, number: u64) -> Result<MultiplexedConnection> {
        let at = usize::try_from(number).unwrap_or(0) % self.connections.len().max(1);
        self.connections.get(at).cloned().context("no connection")
    }

    /// What the scripts of our store take: values, order, expiries, sizes, tables with something that expires.
    pub(super) fn store_keys(&self) -> [String; 5] {
        let prefix = &self.prefix;
        let own = |what: &str| format!("{prefix}:store:{{{NAMESPACE}/{TABLE}}}:{what}");
        let sizes = format!("{prefix}:store:{{{NAMESPACE}}}:sizes");
        [own("values"), own("order"), own("expiries"), sizes, format!("{prefix}:store:due")]
    }

    /// The script that our store reads by.
    pub(super) fn get(&self, keys: u64) -> Floor {
        let script = Arc::new(redis::Script::new(&[COMMON, GET].concat()));
        let (redis, names) = (self.clone(), Arc::new(self.store_keys()));
        Floor::new(move |number| {
            let (redis, script, names) = (redis.clone(), Arc::clone(&script), Arc::clone(&names));
            async move {
                let mut call = script.prepare_invoke();
                call.key(names.as_slice());
                call.arg(TABLE).arg(format!("{NAMESPACE}/{TABLE}")).arg(key(number, keys));
                let mut connection = redis.connection(number)?;
                let found: Option<(Vec<u8>, Option<i64>)> = call.invoke_async(&mut connection).await?;
                found.map(drop).context("a key is missing")
            }
        })
    }

    /// The script that our store writes by.
    pub(super) fn set(&self, keys: u64, bytes: u64) -> Floor {
        let script = Arc::new(redis::Script::new(&[COMMON, PUT].concat()));
        let (redis, names) = (self.clone(), Arc::new(self.store_keys()));
        let value = value(bytes);
        Floor::new(move |number| {
            let (redis, script, names) = (redis.clone(), Arc::clone(&script), Arc::clone(&names));
            let value = written(&value, number);
            async move {
                let mut call = script.prepare_invoke();
                call.key(names.as_slice());
                call.arg(TABLE).arg(format!("{NAMESPACE}/{TABLE}")).arg(key(number, keys));
                call.arg(value.as_slice()).arg("").arg("");
                let mut connection = redis.connection(number)?;
                call.invoke_async::<i64>(&mut connection).await?;
                Ok(())
            }
        })
    }

    /// Removes all that lies below the prefix: a few keys, however much they hold.
    pub(super) async fn remove(self) -> Result<()> {
        let (mut connection, mut cursor) = (self.connection(0)?, 0_u64);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{}:*", self.prefix)).arg("COUNT").arg(1_000);
            let (next, keys): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
            if !keys.is_empty() {
                let mut unlink = redis::cmd("UNLINK");
                unlink.arg(keys).query_async::<()>(&mut connection).await.context("remove the keys")?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}
