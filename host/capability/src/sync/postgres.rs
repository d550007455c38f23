//! Locks in PostgreSQL: nodes that name the same database share them.
//!
//! A lock is a row with its fence and the moment when it expires, by the server's clock. No advisory locks: those have
//! no end of their own and are lost with the connection. Who waits asks again from time to time; nobody is first.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::backend::new_token;
use super::taking::{LockServer, TRIES_MAX, Tried, try_to_take};
use super::waiters::Waiters;
use super::{Backend, Claim, Error, HELD_MAX, Lock, LockKey};
use crate::keeping::keep_clean;
use crate::postgres::{Server, ServerConfig};
use crate::store::Error as ServerError;

/// What each version of the schema adds.
const VERSIONS: [&str; 1] = [include_str!("postgres/schema.sql")];
/// Who waits asks again after so many milliseconds at least, and at most.
const POLL_MS: std::ops::RangeInclusive<u64> = 100..=250;
/// For each so many of a namespace that wait in this process, all of them ask that much less often: else one tenant's
/// waiting would take the connections from all others.
const POLLED_AT_FULL_RATE: usize = 50;
/// Rows that one sweep removes.
const SWEEP: i64 = 1_000;

/// Where the locks are, and the bounds of their use.
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
    /// How long one question to the server may take.
    pub call_timeout: Duration,
    /// How often rows of expired locks are removed; they count for nothing before.
    pub sweep_every: Duration,
}

impl PostgresConfig {
    /// The defaults: schema `micro_locks`, 4 connections, 3 s for a connection, 10 s a call, a sweep each 10 s.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            schema: "micro_locks".to_owned(),
            connections_max: 4,
            acquire_timeout: Duration::from_secs(3),
            call_timeout: Duration::from_secs(10),
            sweep_every: Duration::from_secs(10),
        }
    }
}

impl std::fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.debug_struct("PostgresConfig").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Busy => Self::Busy,
            ServerError::Away(why) | ServerError::Unknown(why) => Self::Away(why),
            ServerError::Full => Self::Memory,
            ServerError::Backend(why) => Self::Backend(why),
            other => Self::Backend(other.to_string()),
        }
    }
}

/// Locks of all nodes.
#[derive(Debug)]
pub struct Postgres {
    server: Arc<Server>,
    waiters: Arc<Waiters>,
    tries: Arc<Semaphore>,
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
            application: "micro-locks",
            connections_max: config.connections_max,
            acquire_timeout: config.acquire_timeout,
            call_timeout: config.call_timeout,
        };
        let server = Arc::new(Server::open(&server).await?);
        keep_clean(&server, config.sweep_every, "Expired locks cannot be removed", |server| async move {
            clean(&server).await
        });
        Ok(Arc::new(Self { server, waiters: Arc::default(), tries: Arc::new(Semaphore::new(TRIES_MAX)) }))
    }
}

#[async_trait]
impl LockServer for Server {
    async fn take(&self, key: &LockKey, claim: &Claim, token: &str) -> Result<Tried<Lock>, Error> {
        let (ttl_ms, most) = (to_sql(claim.ttl), i64::try_from(HELD_MAX).unwrap_or(i64::MAX));
        let asked = self.retried(|| {
            sqlx::query_as::<_, (i32, i64, Option<i64>)>(
                "SELECT state, given, left_ms FROM take($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(key.namespace().as_str())
            .bind(key.service())
            .bind(key.name())
            .bind(token)
            .bind(claim.holder.as_deref())
            .bind(ttl_ms)
            .bind(most)
            .fetch_one(&self.pool)
        });
        let (state, fence, left_ms) = asked.await?;
        let left = Duration::from_millis(left_ms.and_then(|left| u64::try_from(left).ok()).unwrap_or(0));
        match state {
            0 => {
                let fence = u64::try_from(fence).unwrap_or(0);
                Ok(Tried::Taken(Lock { token: token.to_owned(), fence, left }))
            }
            1 => Ok(Tried::Held(left)),
            _ => Err(Error::Full),
        }
    }

    async fn release(&self, key: &LockKey, token: &str) -> Result<bool, Error> {
        let removed = self.retried(|| {
            sqlx::query(
                "DELETE FROM locks WHERE namespace = $1 AND service = $2 AND name = $3 AND token = $4
                 AND expires_ms > now_ms()",
            )
            .bind(key.namespace().as_str())
            .bind(key.service())
            .bind(key.name())
            .bind(token)
            .execute(&self.pool)
        });
        Ok(removed.await?.rows_affected() > 0)
    }
}

#[async_trait]
impl Backend for Postgres {
    async fn acquire(&self, key: &LockKey, claim: Claim) -> Result<Lock, Error> {
        // One for all tries: then the server knows which of them it has done already.
        let token = new_token();
        let mut waiting = None;
        loop {
            let left = match try_to_take(&self.tries, &self.server, key, &claim, &token).await? {
                Tried::Taken(taken) => return taken.keep(),
                Tried::Held(left) => left,
            };
            let now = Instant::now();
            if claim.until <= now {
                return Err(Error::Timeout);
            }
            let waiting = match &mut waiting {
                Some(waiting) => waiting,
                none => none.insert(self.waiters.enter(key.namespace())?),
            };
            let soon = left.max(Duration::from_millis(1)).min(pause(waiting.count()));
            tokio::time::sleep_until((now + soon).min(claim.until)).await;
        }
    }

    async fn renew(&self, key: &LockKey, token: &str, ttl: Duration) -> Result<bool, Error> {
        let renewed = self.server.retried(|| {
            sqlx::query(
                "UPDATE locks SET expires_ms = now_ms() + $5
                 WHERE namespace = $1 AND service = $2 AND name = $3 AND token = $4 AND expires_ms > now_ms()",
            )
            .bind(key.namespace().as_str())
            .bind(key.service())
            .bind(key.name())
            .bind(token)
            .bind(to_sql(ttl))
            .execute(&self.server.pool)
        });
        Ok(renewed.await?.rows_affected() > 0)
    }

    async fn release(&self, key: &LockKey, token: &str) -> Result<bool, Error> {
        self.server.release(key, token).await
    }

    async fn holder(&self, key: &LockKey) -> Result<Option<String>, Error> {
        let found = self.server.retried(|| {
            sqlx::query_as::<_, (Option<String>,)>(
                "SELECT holder FROM locks
                 WHERE namespace = $1 AND service = $2 AND name = $3 AND expires_ms > now_ms()",
            )
            .bind(key.namespace().as_str())
            .bind(key.service())
            .bind(key.name())
            .fetch_optional(&self.server.pool)
        });
        Ok(found.await?.and_then(|(holder,)| holder))
    }

    async fn check(&self) -> Result<(), Error> {
        let asked = self
            .server
            .retried(|| async { sqlx::query("SELECT 1").execute(&self.server.pool).await.map(drop) });
        Ok(asked.await?)
    }
}

/// Removes rows of locks that expired, so that names which are never used again do not stay.
async fn clean(server: &Server) -> Result<(), Error> {
    loop {
        let swept = server.retried(|| {
            sqlx::query(
                "DELETE FROM locks l USING (
                   SELECT namespace, service, name FROM locks WHERE expires_ms <= now_ms()
                   ORDER BY expires_ms LIMIT $1 FOR UPDATE SKIP LOCKED
                 ) gone
                 WHERE l.namespace = gone.namespace AND l.service = gone.service AND l.name = gone.name",
            )
            .bind(SWEEP)
            .execute(&server.pool)
        });
        if swept.await?.rows_affected() < SWEEP.unsigned_abs() {
            return Ok(());
        }
    }
}

/// Until one of so many that wait asks again; another one each time, so that those who came together do not stay
/// together.
fn pause(waiting: usize) -> Duration {
    let (least, most) = POLL_MS.into_inner();
    let [low, high, ..] = uuid::Uuid::new_v4().into_bytes();
    let pause =
        Duration::from_millis(least + u64::from(u16::from_le_bytes([low, high])) % (most - least + 1));
    pause * u32::try_from(1 + waiting / POLLED_AT_FULL_RATE).unwrap_or(1)
}

fn to_sql(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
