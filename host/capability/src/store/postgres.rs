//! The store in PostgreSQL: nodes that name the same database share their records.
//!
//! A write is one statement and one round trip: a function of the schema writes the record, counts its size and holds
//! the namespace to its limit. The time that decides what has expired is the server's. A connection that broke is
//! replaced and the call tried again, which is safe: to write, to delete and to read twice is the same as once. What is
//! not the same, to add and to commit, is tried once (`atomic.rs`).

mod atomic;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use micro_api::name::Namespace;
use sqlx::postgres::PgPool;

use super::backend::check_key;
use super::books::Books;
use super::page::{Glimpse, WINDOW, Windows, walk};
use super::transaction::{Change, Check};
use super::writes::{Writes, note};
use super::{Backend, Error, Page, Range, Record, TableKey, Want, Write};
use crate::context::unix_ms;
use crate::keeping::keep_clean;
use crate::postgres::{Server, ServerConfig};

/// Records that one sweep removes.
const SWEEP: i64 = 1_000;
const TABLES_MAX: i64 = 10_000;
/// What each version of the schema adds.
const VERSIONS: [&str; 2] = [include_str!("postgres/schema.sql"), include_str!("postgres/atomic.sql")];

/// Where the store is, and its bounds.
#[derive(Clone)]
pub struct PostgresConfig {
    /// `postgres://user:password@host/database`; `sslmode=verify-full` asks for TLS.
    pub url: String,
    /// The schema that holds the tables, made when it is missing: up to 63 of `a-z0-9_`, no digit first.
    pub schema: String,
    /// Connections of this process.
    pub connections_max: u32,
    /// How long a call waits for a connection.
    pub acquire_timeout: Duration,
    /// How long a call may take in all, and the server may work on its statement.
    pub call_timeout: Duration,
    /// How often expired records are removed; they are invisible before.
    pub sweep_every: Duration,
    /// What namespaces may hold; told what they hold.
    pub books: Arc<Books>,
}

impl PostgresConfig {
    /// The defaults: schema `micro_store`, 16 connections, 3 s for a connection, 10 s a call, a sweep each second.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            schema: "micro_store".to_owned(),
            connections_max: 16,
            acquire_timeout: Duration::from_secs(3),
            call_timeout: Duration::from_secs(10),
            sweep_every: Duration::from_secs(1),
            books: Arc::default(),
        }
    }
}

impl std::fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.debug_struct("PostgresConfig").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Key-value records in PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    pool: PgPool,
    call_timeout: Duration,
    books: Arc<Books>,
    writes: Writes,
}

impl Postgres {
    /// Connects, makes the schema where there is none, and begins to sweep.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or holds a newer schema than this program knows.
    pub async fn open(config: &PostgresConfig) -> Result<Arc<Self>, Error> {
        let server = ServerConfig {
            url: &config.url,
            schema: &config.schema,
            versions: &VERSIONS,
            application: "micro-store",
            connections_max: config.connections_max,
            acquire_timeout: config.acquire_timeout,
            call_timeout: config.call_timeout,
        };
        let server = Server::open(&server).await?;
        let store = Arc::new(Self {
            pool: server.pool.clone(),
            call_timeout: server.call_timeout,
            server,
            books: Arc::clone(&config.books),
            writes: Writes::default(),
        });
        keep_clean(
            &store,
            config.sweep_every,
            "Expired records of the store cannot be removed",
            |store| async move { store.clean().await },
        );
        Ok(store)
    }

    async fn retried<T, F>(&self, call: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        self.server.retried(call).await
    }

    /// Makes a write, whose answer ends with what the table holds then, and tells the books; less than 0: nothing changed.
    async fn written<T>(
        &self,
        table: &TableKey,
        write: impl Future<Output = Result<(T, i64), Error>>,
    ) -> Result<T, Error> {
        self.writes.counted(&self.books, table, write, self.size(table)).await
    }

    async fn size(&self, table: &TableKey) -> Result<i64, Error> {
        let (bytes,) = self
            .retried(|| {
                sqlx::query_as::<_, (i64,)>("SELECT size_of($1, $2)")
                    .bind(table.namespace().as_str())
                    .bind(table.table())
                    .fetch_one(&self.pool)
            })
            .await?;
        Ok(bytes)
    }

    /// Removes what has expired, and reads the sizes of tables that this changed, or that are written to without a pause.
    async fn clean(&self) -> Result<(), Error> {
        let mut changed: HashSet<TableKey> = self.writes.of_several().into_iter().collect();
        loop {
            let swept = self.retried(|| {
                sqlx::query_as::<_, (String, String)>("SELECT swept_namespace, swept_table FROM sweep($1)")
                    .bind(SWEEP)
                    .fetch_all(&self.pool)
            });
            let swept = swept.await?;
            if swept.is_empty() {
                break;
            }
            changed.extend(
                swept
                    .into_iter()
                    .filter_map(|(namespace, table)| TableKey::named(&namespace.parse().ok()?, &table).ok()),
            );
        }
        for table in changed {
            let bytes = self.size(&table).await?;
            note(&self.books, &table, bytes);
        }
        Ok(())
    }
}

#[async_trait]
impl Windows for Postgres {
    async fn window(
        &self,
        table: &TableKey,
        from: Bound<&[u8]>,
        end: Option<&[u8]>,
    ) -> Result<Vec<Glimpse>, Error> {
        let (from, inclusive) = match from {
            Bound::Included(key) => (key, true),
            Bound::Excluded(key) => (key, false),
            Bound::Unbounded => (&b""[..], true),
        };
        // Two texts: with an end that may be missing the server would read on to the end of the table.
        let text = if end.is_some() {
            "SELECT key, octet_length(value)::bigint, expires_ms - now_ms() FROM records
             WHERE namespace = $1 AND table_name = $2 AND key >= $3 AND ($4 OR key <> $3) AND key < $6
             ORDER BY key LIMIT $5"
        } else {
            "SELECT key, octet_length(value)::bigint, expires_ms - now_ms() FROM records
             WHERE namespace = $1 AND table_name = $2 AND key >= $3 AND ($4 OR key <> $3)
             ORDER BY key LIMIT $5"
        };
        let limit = i64::try_from(WINDOW).unwrap_or(i64::MAX);
        let found = self.retried(|| {
            let found = sqlx::query_as::<_, (Vec<u8>, i64, Option<i64>)>(text)
                .bind(table.namespace().as_str())
                .bind(table.table())
                .bind(from)
                .bind(inclusive)
                .bind(limit);
            let found = if let Some(end) = end { found.bind(end) } else { found };
            found.fetch_all(&self.pool)
        });
        let glimpse = |(key, bytes, left_ms): (Vec<u8>, i64, Option<i64>)| {
            (key, u64::try_from(bytes).unwrap_or(0), left_ms)
        };
        Ok(found.await?.into_iter().map(glimpse).collect())
    }

    async fn fill(&self, table: &TableKey, page: &mut Page) -> Result<(), Error> {
        let keys: Vec<&[u8]> = page.records.iter().map(|record| record.key.as_ref()).collect();
        let found = self.retried(|| {
            sqlx::query_as::<_, (Vec<u8>, Vec<u8>)>(
                "SELECT key, value FROM records WHERE namespace = $1 AND table_name = $2 AND key = ANY($3)",
            )
            .bind(table.namespace().as_str())
            .bind(table.table())
            .bind(&keys)
            .fetch_all(&self.pool)
        });
        let mut values: HashMap<Vec<u8>, Vec<u8>> = found.await?.into_iter().collect();
        page.records.retain_mut(|record| match values.remove(record.key.as_ref()) {
            Some(value) => {
                record.value = value.into();
                true
            }
            None => false,
        });
        Ok(())
    }
}

#[async_trait]
impl Backend for Postgres {
    async fn get(&self, table: &TableKey, key: &[u8]) -> Result<Option<Record>, Error> {
        check_key(key)?;
        let found = self.retried(|| {
            sqlx::query_as::<_, (Vec<u8>, Option<i64>)>(
                "SELECT value, expires_ms - now_ms() FROM records
                 WHERE namespace = $1 AND table_name = $2 AND key = $3
                   AND (expires_ms IS NULL OR expires_ms > now_ms())",
            )
            .bind(table.namespace().as_str())
            .bind(table.table())
            .bind(key)
            .fetch_optional(&self.pool)
        });
        Ok(found.await?.map(|(value, left_ms)| Record {
            key: Bytes::copy_from_slice(key),
            value: value.into(),
            expires_ms: left_ms.map(here),
        }))
    }

    async fn set(&self, table: &TableKey, write: Write) -> Result<(), Error> {
        write.check()?;
        let ttl_ms = write.ttl_ms.map(to_sql);
        let max = self.books.max(table.namespace());
        let most = max.map(to_sql);
        let put = self.retried(|| {
            sqlx::query_as::<_, (i64,)>("SELECT put($1, $2, $3, $4, $5, $6)")
                .bind(table.namespace().as_str())
                .bind(table.table())
                .bind(write.key.as_ref())
                .bind(write.value.as_ref())
                .bind(ttl_ms)
                .bind(most)
                .fetch_one(&self.pool)
        });
        let put = async { put.await.map(|(bytes,)| (bytes, bytes)) };
        if self.written(table, put).await? < 0 {
            return Err(Error::Quota(max.unwrap_or(0)));
        }
        Ok(())
    }

    async fn delete(&self, table: &TableKey, key: &[u8]) -> Result<(), Error> {
        check_key(key)?;
        let removed = self.retried(|| {
            sqlx::query_as::<_, (i64,)>("SELECT remove($1, $2, $3)")
                .bind(table.namespace().as_str())
                .bind(table.table())
                .bind(key)
                .fetch_one(&self.pool)
        });
        let removed = async { removed.await.map(|(bytes,)| ((), bytes)) };
        self.written(table, removed).await
    }

    async fn increment(
        &self,
        table: &TableKey,
        key: &[u8],
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, Error> {
        check_key(key)?;
        self.add(table, key, delta, ttl_ms).await
    }

    async fn commit(
        &self,
        table: &TableKey,
        checks: Vec<Check>,
        changes: Vec<Change>,
    ) -> Result<bool, Error> {
        self.commit_all(table, &checks, &changes).await
    }

    async fn scan(&self, table: &TableKey, range: Range, want: Want) -> Result<Page, Error> {
        walk(self, table, &range, want).await
    }

    async fn tables(&self, namespace: &Namespace) -> Result<Vec<String>, Error> {
        let found = self.retried(|| {
            sqlx::query_as::<_, (String,)>(
                "SELECT t.table_name FROM
                   (SELECT DISTINCT table_name FROM sizes WHERE namespace = $1 AND bytes > 0) t
                 WHERE EXISTS (SELECT 1 FROM records r WHERE r.namespace = $1 AND r.table_name = t.table_name
                   AND (r.expires_ms IS NULL OR r.expires_ms > now_ms()))
                 ORDER BY t.table_name LIMIT $2",
            )
            .bind(namespace.as_str())
            .bind(TABLES_MAX)
            .fetch_all(&self.pool)
        });
        Ok(found.await?.into_iter().map(|(name,)| name).collect())
    }

    async fn check(&self) -> Result<(), Error> {
        self.retried(|| async { sqlx::query("SELECT 1").execute(&self.pool).await.map(drop) }).await
    }
}

/// PostgreSQL's integers have a sign; what is beyond them is as good as without a bound.
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The time of this node's clock at which so much is over.
fn here(left_ms: i64) -> u64 {
    unix_ms().saturating_add_signed(left_ms)
}
