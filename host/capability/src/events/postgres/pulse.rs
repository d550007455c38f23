//! This process's connection to hear of other nodes' events, which also gives its signs of life: so a connection that
//! went silent is noticed.

use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::rows::time_to_sql;
use super::told::{Heard, heard};
use crate::events::bells::Bells;
use crate::postgres::Server;

/// The pause before the first new connection after one that lasted; it doubles with each that does not.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest pause: far less than a lease, so that a server that comes back finds it running.
const PAUSE_MAX: Duration = Duration::from_secs(1);

pub(super) struct Pulse {
    pub(super) server: Arc<Server>,
    pub(super) bells: Arc<Bells>,
    pub(super) node: Uuid,
    pub(super) channel: String,
    pub(super) lease: Duration,
}

impl Pulse {
    /// Until it is dropped.
    pub(super) async fn run(self) {
        let (mut pause, mut failing) = (PAUSE, false);
        loop {
            let since = Instant::now();
            let Err(error) = self.beat().await;
            if since.elapsed() > self.lease {
                (pause, failing) = (PAUSE, false);
            }
            if !std::mem::replace(&mut failing, true) {
                tracing::warn!(%error, "The connection that hears of events is lost: it is made again");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Over one connection, until it breaks.
    async fn beat(&self) -> Result<std::convert::Infallible, sqlx::Error> {
        // Its own: a pool that is used up must not look like a death.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.every())
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with((*self.server.pool.connect_options()).clone());
        let mut listener = self.soon(PgListener::connect_with(&pool)).await?;
        self.soon(listener.listen(&self.channel)).await?;
        // Something may have been missed before.
        self.bells.ring_all();
        let mut beats = tokio::time::interval(self.every());
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beats.tick() => self.soon(self.live(&mut listener)).await?,
                told = listener.try_recv() => match told? {
                    Some(told) => match heard(self.node, told.payload()) {
                        Some(Heard::Topic(topic)) => self.bells.ring(&topic),
                        Some(Heard::All) => self.bells.ring_all(),
                        Some(Heard::Own) | None => {}
                    },
                    // It was lost and made again.
                    None => self.bells.ring_all(),
                }
            }
        }
    }

    async fn live(&self, listener: &mut PgListener) -> Result<(), sqlx::Error> {
        let sql = "INSERT INTO nodes AS n (id, expires_ms) VALUES ($1, now_ms() + $2)
                   ON CONFLICT (id) DO UPDATE SET expires_ms = EXCLUDED.expires_ms";
        let live = sqlx::query(sql).bind(self.node.as_bytes().as_slice()).bind(time_to_sql(self.lease));
        live.execute(listener).await.map(drop)
    }

    fn every(&self) -> Duration {
        self.lease * 3 / 10
    }

    /// A connection that is silent for so long is a broken one.
    async fn soon<T>(&self, call: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        tokio::time::timeout(self.every(), call)
            .await
            .map_err(|_| sqlx::Error::Io(ErrorKind::TimedOut.into()))?
    }
}
