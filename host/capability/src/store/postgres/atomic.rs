//! Calls that must not be made twice: `increment` and `commit`.

use std::time::Instant;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;

use super::super::transaction::{self, Change, Check};
use super::super::{Error, TableKey};
use super::{Postgres, to_sql};
use crate::postgres::{failed, is_broken, silent};

/// What the server's functions say of a change.
const DONE: i32 = 0;
const QUOTA: i32 = 1;

impl Postgres {
    pub(super) async fn add(
        &self,
        table: &TableKey,
        key: &[u8],
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, Error> {
        let max = self.books.max(table.namespace());
        let added = self.once(async |connection| {
            let added = sqlx::query_as::<_, (i32, i64, i64)>(
                "SELECT state, total, held FROM add($1, $2, $3, $4, $5, $6)",
            );
            added
                .bind(table.namespace().as_str())
                .bind(table.table())
                .bind(key)
                .bind(delta)
                .bind(ttl_ms.map(to_sql))
                .bind(max.map(to_sql))
                .fetch_one(connection)
                .await
        });
        let added = async { added.await.map(|(state, total, held)| ((state, total), held)) };
        match self.written(table, added).await? {
            (DONE, total) => Ok(total),
            (QUOTA, _) => Err(Error::Quota(max.unwrap_or(0))),
            (2, _) => Err(Error::Number),
            _ => Err(Error::Overflow),
        }
    }

    pub(super) async fn commit_all(
        &self,
        table: &TableKey,
        checks: &[Check],
        changes: &[Change],
    ) -> Result<bool, Error> {
        transaction::check(checks, changes)?;
        let max = self.books.max(table.namespace());
        let check_keys: Vec<&[u8]> = checks.iter().map(|check| check.key.as_ref()).collect();
        let check_values: Vec<Option<&[u8]>> = checks.iter().map(|check| check.value.as_deref()).collect();
        let keys: Vec<&[u8]> = changes.iter().map(|change| change.key().as_ref()).collect();
        let values: Vec<Option<&[u8]>> =
            changes.iter().map(|change| change.write().map(|write| write.value.as_ref())).collect();
        let ttls: Vec<Option<i64>> =
            changes.iter().map(|change| change.write().and_then(|write| write.ttl_ms).map(to_sql)).collect();
        let committed = self.once(async |connection| {
            let committed = sqlx::query_as::<_, (i32, i64)>(
                "SELECT state, held FROM commit_all($1, $2, $3, $4, $5, $6, $7, $8)",
            );
            committed
                .bind(table.namespace().as_str())
                .bind(table.table())
                .bind(&check_keys)
                .bind(&check_values)
                .bind(&keys)
                .bind(&values)
                .bind(&ttls)
                .bind(max.map(to_sql))
                .fetch_one(connection)
                .await
        });
        match self.written(table, committed).await? {
            DONE => Ok(true),
            QUOTA => Err(Error::Quota(max.unwrap_or(0))),
            _ => Ok(false),
        }
    }

    /// Makes the call on one connection and never again: what it did, if that connection broke, nobody knows.
    async fn once<T>(
        &self,
        call: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Error> {
        let until = Instant::now() + self.call_timeout;
        let mut connection: PoolConnection<sqlx::Postgres> =
            self.retried(|| async { self.pool.acquire().await }).await?;
        match tokio::time::timeout_at(until.into(), call(&mut connection)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) if is_broken(&error) => {
                // Not to be used again, whatever it says.
                drop(connection.detach());
                Err(Error::Unknown(error.to_string()))
            }
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => {
                drop(connection.detach());
                Err(Error::Unknown(silent(self.call_timeout).to_string()))
            }
        }
    }
}
