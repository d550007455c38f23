//! All that differs between SQLite and PostgreSQL: opening, transactions, locks, claims, wake-ups.

use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Postgres, Sqlite, Transaction};

use crate::Error;
use crate::query::query;

/// Connections of one process.
const CONNECTIONS_MAX: u32 = 8;
/// How long a SQLite writer waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before a new SQLite file is opened again that another process is just making.
const OPEN_RETRY: Duration = Duration::from_millis(20);
/// How long a caller waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// PostgreSQL channel that carries wake-ups.
pub(crate) const CHANNEL: &str = "micro_changes";

const CLOCK_SQLITE: &str = "SELECT CAST(unixepoch('subsec') * 1000 AS BIGINT)";
const CLOCK_POSTGRES: &str = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";

/// The control data's database. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Db {
    /// A file of this machine.
    Sqlite {
        /// Readers disturb nobody.
        read: SqlitePool,
        /// One connection. SQLite has one writer at a time and lets the others ask again and again, so that who asks
        /// often starves who waits; here the writers of a process stand in a queue, and only those of other processes
        /// have to be waited for that way.
        write: SqlitePool,
    },
    /// A server.
    Postgres(PgPool),
}

/// A write transaction. Dropping it without [`Tx::commit`] undoes it.
#[derive(Debug)]
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Db {
    /// Opens `sqlite://PATH` (made when absent) or `postgres://…`. Does not touch the schema: see [`Db::migrate`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let failed = |source| Error::Connect { url: without_password(url), source };
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)
                .map_err(failed)?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(BUSY_TIMEOUT)
                .foreign_keys(true);
            let write = open_sqlite(&options, 1).await.map_err(failed)?;
            let read = open_sqlite(&options, CONNECTIONS_MAX).await.map_err(failed)?;
            return Ok(Self::Sqlite { read, write });
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let options = PgConnectOptions::from_str(url).map_err(failed)?;
            let pool = PgPoolOptions::new()
                .max_connections(CONNECTIONS_MAX)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .connect_with(options)
                .await
                .map_err(failed)?;
            return Ok(Self::Postgres(pool));
        }
        Err(Error::Address(without_password(url)))
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        query("db.ping", "SELECT CAST(1 AS BIGINT)").read_first::<(i64,)>(self).await.map(drop)
    }

    /// What time it is by the database, Unix milliseconds: one clock for all nodes.
    pub(crate) async fn clock_ms(&self) -> Result<i64, Error> {
        let clock = match self {
            Self::Sqlite { .. } => CLOCK_SQLITE,
            Self::Postgres(_) => CLOCK_POSTGRES,
        };
        let row = query("db.clock", clock).read_first::<(i64,)>(self).await?;
        Ok(row.map_or(0, |(now,)| now))
    }

    /// A write transaction that excludes all others of `namespace`. Whoever has one begins no second, and awaits
    /// nothing but the database until it ends: all other writers wait for it.
    pub(crate) async fn begin(&self, namespace: &str) -> Result<Tx, Error> {
        let mut tx = self.begin_unlocked().await?;
        tx.lock(namespace).await?;
        Ok(tx)
    }

    /// A write transaction. On SQLite it excludes every other one; on PostgreSQL none, until [`Tx::lock`].
    pub(crate) async fn begin_unlocked(&self) -> Result<Tx, Error> {
        let failed = |source| Error::Sql { doing: "begin", source };
        match self {
            // A deferred transaction that reads first and writes later fails with SQLITE_BUSY instead of waiting.
            Self::Sqlite { write, .. } => {
                write.begin_with("BEGIN IMMEDIATE").await.map(Tx::Sqlite).map_err(failed)
            }
            Self::Postgres(pool) => pool.begin().await.map(Tx::Postgres).map_err(failed),
        }
    }
}

impl Tx {
    /// Excludes other transactions of `namespace` until this one ends. The lock is the transaction's, not the
    /// session's, so neither a pool nor a crash can lose it.
    pub(crate) async fn lock(&mut self, namespace: &str) -> Result<(), Error> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(_) => {
                let lock = query(
                    "db.lock",
                    "SELECT CAST(1 AS BIGINT) FROM pg_advisory_xact_lock(hashtextextended($1, 0))",
                );
                lock.bind(namespace).all::<(i64,)>(self).await.map(drop)
            }
        }
    }

    /// The next job that nobody holds, so that no two workers take the same: (id, deployment, namespace, attempt,
    /// recompile).
    ///
    /// It is the oldest of the namespace with the fewest jobs in work, and among those of the one whose last turn was
    /// longest ago: a namespace that queues a hundred jobs at once delays another by those that it has in work.
    pub(crate) async fn free_job(&mut self, now_ms: i64) -> Result<Option<FreeJob>, Error> {
        macro_rules! free {
            ($lock:literal) => {
                concat!(
                    "SELECT j.id, j.deployment, j.namespace, j.attempt, j.recompile FROM jobs j
                     LEFT JOIN build_turns t ON t.namespace = j.namespace
                     WHERE j.lease_until_ms <= $1 AND NOT EXISTS (
                       SELECT 1 FROM namespaces n WHERE n.namespace = j.namespace AND n.blocked <> 0)
                     ORDER BY
                       (SELECT COUNT(*) FROM jobs w WHERE w.namespace = j.namespace AND w.lease_until_ms > $1),
                       COALESCE(t.claimed_ms, 0), j.created_ms, j.id
                     LIMIT 1",
                    $lock
                )
            };
        }
        let sql = match self {
            Self::Sqlite(_) => free!(""),
            Self::Postgres(_) => free!(" FOR UPDATE OF j SKIP LOCKED"),
        };
        query("jobs.free", sql).bind(now_ms).first(self).await
    }

    /// What time it is by the database, Unix milliseconds: one clock for all nodes.
    pub(crate) async fn clock_ms(&mut self) -> Result<i64, Error> {
        let clock = match self {
            Self::Sqlite(_) => CLOCK_SQLITE,
            Self::Postgres(_) => CLOCK_POSTGRES,
        };
        let row = query("db.clock", clock).first::<(i64,)>(self).await?;
        Ok(row.map_or(0, |(now,)| now))
    }

    /// Commits, and wakes those who wait for changes.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        if let Self::Postgres(_) = &self {
            let notify = query("db.notify", "SELECT CAST(1 AS BIGINT) FROM pg_notify($1, '')");
            notify.bind(CHANNEL).all::<(i64,)>(&mut self).await?;
        }
        self.commit_quietly().await
    }

    /// Commits what nobody waits for: every node counts every second, and need not wake all others each time.
    pub(crate) async fn commit_quietly(self) -> Result<(), Error> {
        let failed = |source| Error::Sql { doing: "commit", source };
        match self {
            Self::Sqlite(tx) => tx.commit().await.map_err(failed),
            Self::Postgres(tx) => tx.commit().await.map_err(failed),
        }
    }
}

/// A statement over the elements `t.value` of the JSON array that is bound as `$1`, in their order: one statement for
/// any number of rows. `t.value ->> 0` is the first part of an element that is an array itself, as text on PostgreSQL.
macro_rules! over_list {
    ($tx:expr, $name:literal, $before:literal, $after:literal) => {
        $crate::query::query(
            $name,
            match &*$tx {
                $crate::dialect::Tx::Sqlite(_) => concat!($before, " FROM json_each($1) t ", $after),
                $crate::dialect::Tx::Postgres(_) => {
                    concat!($before, " FROM json_array_elements(CAST($1 AS JSON)) AS t(value) ", $after)
                }
            },
        )
    };
}
pub(crate) use over_list;

/// A job as [`Tx::free_job`] reads it.
pub(crate) type FreeJob = (String, String, String, i64, Option<String>);

async fn open_sqlite(options: &SqliteConnectOptions, connections: u32) -> Result<SqlitePool, sqlx::Error> {
    let started = Instant::now();
    loop {
        let pool = SqlitePoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
        match pool.connect_with(options.clone()).await {
            // A new file is switched to its journal without waiting for another process that does the same.
            Err(error) if is_busy(&error) && started.elapsed() < BUSY_TIMEOUT => {
                tokio::time::sleep(OPEN_RETRY).await;
            }
            result => return result,
        }
    }
}

/// SQLITE_BUSY and its finer codes.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i64>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

/// The address as it may appear in a log.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}://…{}", url.get(..scheme).unwrap_or_default(), url.get(at..).unwrap_or_default())
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(without_password("postgres://micro:secret@localhost/db"), "postgres://…@localhost/db");
        assert_eq!(without_password("sqlite:///data/control.db"), "sqlite:///data/control.db");
    }

    #[tokio::test]
    async fn an_unknown_address_is_refused() {
        let error = Db::connect("mysql://root:secret@localhost/x").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "`mysql://…@localhost/x` is not a database address: use sqlite:// or postgres://"
        );
    }
}
