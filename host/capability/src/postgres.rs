//! What the backends in PostgreSQL share: to connect, to make a schema, and to try again.
//!
//! A connection that broke is replaced and the call tried again, so only calls that may be made twice belong here.

mod failure;
#[cfg(test)]
pub(crate) mod server;
mod setup;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

use crate::store::Error;
pub(crate) use failure::{failed, is_broken, silent};
use setup::set_up;

/// A call is not tried again after so long.
const RETRY: Duration = Duration::from_secs(3);
/// A connection that was idle for so long is asked whether it still is one, before a call goes over it.
pub(crate) const ASKED_AFTER_IDLE: Duration = Duration::from_secs(1);
/// It must answer within.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// Where the server is, and the bounds of its use.
pub(crate) struct ServerConfig<'a> {
    pub(crate) url: &'a str,
    pub(crate) schema: &'a str,
    /// What each version of the schema adds.
    pub(crate) versions: &'static [&'static str],
    /// What the server calls the connections.
    pub(crate) application: &'a str,
    pub(crate) connections_max: u32,
    pub(crate) acquire_timeout: Duration,
    pub(crate) call_timeout: Duration,
}

/// Connections to a server, with a schema of ours.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) pool: PgPool,
    pub(crate) call_timeout: Duration,
    connections_max: u32,
}

impl Server {
    /// Connects, and makes the schema where there is none.
    pub(crate) async fn open(config: &ServerConfig<'_>) -> Result<Self, Error> {
        let named = !config.schema.is_empty()
            && config.schema.len() <= 63
            && !config.schema.starts_with(|first: char| first.is_ascii_digit())
            && config.schema.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if !named {
            return Err(Error::Backend(format!("`{}` is no name for a schema", config.schema)));
        }
        let timeout_ms = config.call_timeout.as_millis().to_string();
        let options = PgConnectOptions::from_str(config.url)
            .map_err(|_| Error::Backend("the address is not a PostgreSQL URL".to_owned()))?
            .application_name(config.application)
            .options([("search_path", config.schema), ("statement_timeout", timeout_ms.as_str())]);
        // The pool would try until its time is over, and not say why.
        let first = PgConnection::connect_with(&options);
        let first = tokio::time::timeout(config.acquire_timeout, first).await;
        first.map_err(|_| silent(config.acquire_timeout))?.map_err(failed)?.close().await.map_err(failed)?;
        let pool = PgPoolOptions::new()
            .max_connections(config.connections_max)
            .acquire_timeout(config.acquire_timeout)
            // It would cost each call a round trip; a connection that broke is found by its use.
            .test_before_acquire(false)
            .before_acquire(|connection, idle| {
                Box::pin(async move { Ok(idle.idle_for < ASKED_AFTER_IDLE || answers(connection).await) })
            })
            .connect_with(options)
            .await
            .map_err(failed)?;
        set_up(&pool, config.schema, config.versions).await?;
        let (connections_max, call_timeout) = (config.connections_max, config.call_timeout);
        Ok(Self { pool, call_timeout, connections_max })
    }

    /// Tries again on another connection while the one that was used turns out to be broken.
    pub(crate) async fn retried<T, F>(&self, call: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let since = Instant::now();
        let mut tries = 0;
        let calls = async {
            loop {
                match call().await {
                    Ok(done) => return Ok(done),
                    // Each connection of the pool may be as broken as this one, and the pool is smaller by each.
                    Err(error)
                        if is_broken(&error) && since.elapsed() < RETRY && tries <= self.connections_max =>
                    {
                        tries += 1;
                    }
                    // Room for another connection, and none was made: nobody is there to answer.
                    Err(sqlx::Error::PoolTimedOut) if self.pool.size() < self.connections_max => {
                        return Err(Error::Away("it cannot be reached".to_owned()));
                    }
                    Err(error) => return Err(failed(error)),
                }
            }
        };
        tokio::time::timeout(self.call_timeout, calls).await.map_err(|_| silent(self.call_timeout))?
    }
}

/// Whether an idle connection still is one. A broken one is found by its use, too; but a call that must not be made
/// twice has only this one use.
async fn answers(connection: &mut PgConnection) -> bool {
    matches!(tokio::time::timeout(ANSWERS_WITHIN, connection.ping()).await, Ok(Ok(())))
}
