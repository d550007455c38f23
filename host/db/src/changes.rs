//! Waking up when another process changed something.
//!
//! A wake-up carries nothing and may be missed or come for nothing: whoever gets one reads the rows again.

use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{Connection, SqliteConnection};

use crate::dialect::CHANNEL;
use crate::{Db, Error};

/// How often SQLite is asked while something is under way. The question is answered from shared memory.
const POLL_BUSY: Duration = Duration::from_millis(15);
/// How often it is asked otherwise.
const POLL_IDLE: Duration = Duration::from_millis(250);
/// PostgreSQL's wake-ups only save time: without one the rows are read this often.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Waits for commits of other connections and processes.
#[derive(Debug)]
pub struct Changes(Source);

#[derive(Debug)]
enum Source {
    /// `PRAGMA data_version` changes when another connection commits.
    Sqlite {
        connection: SqliteConnection,
        seen: i64,
    },
    Postgres(PgListener),
}

impl Db {
    /// Starts to listen.
    pub async fn changes(&self) -> Result<Changes, Error> {
        let failed = |source| Error::Sql { doing: "listen", source };
        match self {
            Self::Sqlite { read, .. } => {
                let mut connection =
                    SqliteConnection::connect_with(&read.connect_options()).await.map_err(failed)?;
                let seen = data_version(&mut connection).await?;
                Ok(Changes(Source::Sqlite { connection, seen }))
            }
            Self::Postgres(pool) => {
                let mut listener = PgListener::connect_with(pool).await.map_err(failed)?;
                listener.listen(CHANNEL).await.map_err(failed)?;
                Ok(Changes(Source::Postgres(listener)))
            }
        }
    }
}

impl Changes {
    /// Returns when something may have changed, at the latest after a second. `busy`: changes are expected, so look
    /// often. An error means that the connection is lost; a new [`Db::changes`] replaces it.
    pub async fn next(&mut self, busy: bool) -> Result<(), Error> {
        match &mut self.0 {
            Source::Sqlite { connection, seen } => {
                let interval = if busy { POLL_BUSY } else { POLL_IDLE };
                let mut waited = Duration::ZERO;
                while waited < WAIT_MAX {
                    let version = data_version(connection).await?;
                    if version != *seen {
                        *seen = version;
                        return Ok(());
                    }
                    tokio::time::sleep(interval).await;
                    waited += interval;
                }
                Ok(())
            }
            Source::Postgres(listener) => match tokio::time::timeout(WAIT_MAX, listener.recv()).await {
                Ok(Ok(_)) | Err(_) => Ok(()),
                Ok(Err(source)) => Err(Error::Sql { doing: "listen", source }),
            },
        }
    }
}

async fn data_version(connection: &mut SqliteConnection) -> Result<i64, Error> {
    sqlx::query_scalar::<_, i64>("PRAGMA data_version")
        .fetch_one(connection)
        .await
        .map_err(|source| Error::Sql { doing: "data_version", source })
}
