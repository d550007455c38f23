//! Events in PostgreSQL: nodes that name the same database share one log.
//!
//! A position is given under a lock of the topic's row, which is held until the append is committed: so positions become
//! visible in order, and who has read up to one has missed none before it. The times that count are the server's. Each
//! call is one function of the schema and one round trip. All of them may be made twice: an append knows its events by
//! their ids, what was taken is known by the call's number, and the rest is the same twice as once.

mod config;
mod keeper;
#[cfg(test)]
mod model;
mod pulse;
mod rows;
#[cfg(test)]
mod tests;
mod told;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use micro_api::name::Namespace;
use moka::sync::Cache;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::backend::{EVENT_BYTES, check_events};
use super::bells::Bells;
use super::{
    Appended, Backend, Delivery, Error, From, GROUPS_MAX, GroupInfo, GroupKey, IN_FLIGHT_MAX, Lease, Nack,
    New, PENDING_MAX, Page, READ_BYTES_MAX, READ_EVENTS_MAX, TOPICS_MAX, Then, TopicInfo, TopicKey,
};
use crate::keeping::keep_clean;
use crate::postgres::{Server, ServerConfig};
use crate::store::Error as ServerError;
pub use config::PostgresConfig;
use keeper::{Keeper, SWEEP_STEPS};
use pulse::Pulse;
use rows::{Row, TakenRow, cut, from_sql, time_to_sql, to_sql};
use told::Told;

/// What each version of the schema adds.
const VERSIONS: [&str; 1] =
    [concat!(include_str!("postgres/schema.sql"), include_str!("postgres/functions.sql"))];

const ACK_ONE: &str = "DELETE FROM pending p WHERE p.namespace = $1 AND p.topic = $2 AND p.name = $3
       AND p.position = (SELECT e.position FROM events e
         WHERE e.namespace = $1 AND e.topic = $2 AND e.id = ($4::BYTEA[])[1])";
/// With the locks of `take`, in the same order: two that change the same deliveries one by one, each in an order of its
/// own, could wait for each other for ever.
const ACK_MANY: &str = "WITH locked AS MATERIALIZED (SELECT 1 FROM groups g
         WHERE g.namespace = $1 AND g.topic = $2 AND g.name = $3 FOR UPDATE),
       kept AS MATERIALIZED (SELECT 1 FROM gates t, locked
         WHERE t.namespace = $1 AND t.topic = $2 FOR KEY SHARE OF t)
     DELETE FROM pending p WHERE EXISTS (SELECT 1 FROM kept)
       AND p.namespace = $1 AND p.topic = $2 AND p.name = $3
       AND p.position = ANY (ARRAY(SELECT e.position FROM events e
         WHERE e.namespace = $1 AND e.topic = $2 AND e.id = ANY ($4)))";

impl std::convert::From<ServerError> for Error {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Busy => Self::Busy,
            ServerError::Full => Self::Full,
            ServerError::Away(why) | ServerError::Unknown(why) | ServerError::Backend(why) => {
                Self::Backend(why)
            }
            other => Self::Backend(other.to_string()),
        }
    }
}

/// A log of events that nodes share.
#[derive(Debug)]
pub struct Postgres {
    server: Arc<Server>,
    keeper: Arc<Keeper>,
    bells: Arc<Bells>,
    told: Arc<Told>,
    /// This process, as long as it runs.
    node: Uuid,
    node_lease_ms: i64,
    turns: Cache<Namespace, Arc<Semaphore>>,
    calls_per_namespace_max: usize,
    acquire_timeout: Duration,
    _tasks: DropGuard,
}

impl Postgres {
    /// Connects, makes the schema where there is none, and begins to listen, to give signs of life and to sweep.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or holds a newer schema than this program knows.
    pub async fn open(config: &PostgresConfig) -> Result<Arc<Self>, Error> {
        let server = ServerConfig {
            url: &config.url,
            schema: &config.schema,
            versions: &VERSIONS,
            application: "micro-events",
            connections_max: config.connections_max,
            acquire_timeout: config.acquire_timeout,
            call_timeout: config.call_timeout,
        };
        let server = Arc::new(Server::open(&server).await?);
        let (bells, node, stop) = (Arc::<Bells>::default(), Uuid::new_v4(), CancellationToken::new());
        let pulse = Pulse {
            server: Arc::clone(&server),
            bells: Arc::clone(&bells),
            node,
            channel: config.schema.clone(),
            lease: config.node_lease,
        };
        let told = Arc::new(Told::new(node, config.schema.clone()));
        let keeper = Arc::new(Keeper { server: Arc::clone(&server), plans: Arc::clone(&config.plans) });
        // They end with the backend.
        tokio::spawn(stop.clone().run_until_cancelled_owned(pulse.run()));
        tokio::spawn(stop.clone().run_until_cancelled_owned(Arc::clone(&told).run(Arc::clone(&server))));
        keep_clean(&keeper, config.sweep_every, "Old events cannot be removed", |keeper| async move {
            keeper.sweep().await
        });
        let turns = Cache::builder().max_capacity(65_536).time_to_idle(Duration::from_secs(600)).build();
        let half = usize::try_from(config.connections_max / 2).unwrap_or(1).max(1);
        Ok(Arc::new(Self {
            server,
            keeper,
            bells,
            told,
            node,
            node_lease_ms: time_to_sql(config.node_lease),
            turns,
            calls_per_namespace_max: half,
            acquire_timeout: config.acquire_timeout,
            _tasks: stop.drop_guard(),
        }))
    }

    /// Waits for the namespace's turn, so that nobody's locks take the connections from all others, and asks.
    async fn ask<T, F>(&self, namespace: &Namespace, call: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let calls_max = self.calls_per_namespace_max;
        let turns = self.turns.get_with_by_ref(namespace, || Arc::new(Semaphore::new(calls_max)));
        let turn = tokio::time::timeout(self.acquire_timeout, turns.acquire_owned()).await;
        let _turn = turn.map_err(|_| Error::Busy)?.map_err(|_| Error::Busy)?;
        Ok(self.server.retried(call).await?)
    }

    /// Rings here and on the other nodes.
    fn ring(&self, topic: &TopicKey) {
        self.bells.ring(topic);
        self.told.tell(topic);
    }

    /// What the group is due. With `age_ms`, none if the namespace has events that are older: see [`TakenRow`].
    async fn take(
        &self,
        group: &GroupKey,
        lease: &Lease,
        age_ms: Option<u64>,
    ) -> Result<Vec<TakenRow>, Error> {
        let (topic, call, again) = (group.topic(), Uuid::new_v4(), AtomicBool::new(false));
        let (start, at) = start(lease.start);
        self.ask(topic.namespace(), || {
            sqlx::query_as::<_, TakenRow>(
                "SELECT kind, pos, event_id, at_ms, meta, load, tried
                 FROM take($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
            )
            .bind(topic.namespace().as_str())
            .bind(topic.topic())
            .bind(group.group())
            .bind(self.node.as_bytes().as_slice())
            .bind(self.node_lease_ms)
            .bind(call.as_bytes().as_slice())
            .bind(again.swap(true, Ordering::Relaxed))
            .bind(count_to_sql(lease.max))
            .bind(to_sql(lease.ack_wait_ms).min(rows::WAIT_MS_MAX))
            .bind(lease.retries.map(i64::from))
            .bind(count_to_sql(lease.in_flight.min(IN_FLIGHT_MAX)))
            .bind(start)
            .bind(at)
            .bind(age_ms.map(to_sql))
            .bind(count_to_sql(GROUPS_MAX))
            .bind(count_to_sql(PENDING_MAX))
            .bind(count_to_sql(READ_BYTES_MAX))
            .fetch_all(&self.server.pool)
        })
        .await
    }

    /// Where a time is in the topic: the position before its first event, and whether there is one at or after it.
    async fn since(&self, topic: &TopicKey, time_ms: i64) -> Result<(i64, bool), Error> {
        self.ask(topic.namespace(), || {
            // One statement, so that nothing comes between its parts.
            sqlx::query_as::<_, (i64, bool)>(
                "SELECT COALESCE(f.before, (SELECT t.last FROM topics t WHERE t.namespace = $1 AND t.topic = $2), 0),
                   f.before IS NOT NULL
                 FROM (SELECT (SELECT e.position - 1 FROM events e
                   WHERE e.namespace = $1 AND e.topic = $2 AND e.timestamp_ms >= $3
                   ORDER BY e.timestamp_ms, e.position LIMIT 1) AS before) f",
            )
            .bind(topic.namespace().as_str())
            .bind(topic.topic())
            .bind(time_ms)
            .fetch_one(&self.server.pool)
        })
        .await
    }

    /// A page of the events after a position. Those beyond the retention's age are not shown, though they may not be
    /// removed yet.
    async fn read_after(&self, topic: &TopicKey, after: i64, limit: usize) -> Result<Page, Error> {
        let age_ms = self.keeper.plans.of(topic.namespace()).age_ms;
        let found = self
            .ask(topic.namespace(), || {
                sqlx::query_as::<_, Row>(
                    "SELECT p.position, p.id, p.timestamp_ms, p.metadata, p.payload FROM (
                       SELECT e.*, row_number() OVER w AS number, SUM(e.bytes - $7) OVER w AS total FROM (
                         SELECT * FROM events v WHERE v.namespace = $1 AND v.topic = $2 AND v.position > $3
                           AND v.timestamp_ms >= (SELECT now_ms()) - $4 ORDER BY v.position LIMIT $5
                       ) e WINDOW w AS (ORDER BY e.position)
                     ) p WHERE p.number = 1 OR p.total <= $6 ORDER BY p.position",
                )
                .bind(topic.namespace().as_str())
                .bind(topic.topic())
                .bind(after)
                .bind(to_sql(age_ms))
                .bind(count_to_sql(limit.min(READ_EVENTS_MAX)))
                .bind(count_to_sql(READ_BYTES_MAX))
                .bind(count_to_sql(EVENT_BYTES))
                .fetch_all(&self.server.pool)
            })
            .await?;
        let events = found.into_iter().map(Row::event).collect::<Result<Vec<_>, _>>()?;
        let after = events.last().map_or_else(|| from_sql(after), |last| last.position);
        Ok(Page { events, after })
    }
}

#[async_trait]
impl Backend for Postgres {
    async fn append(&self, topic: &TopicKey, events: Vec<New>) -> Result<Vec<Appended>, Error> {
        if topic.dead().is_none() {
            return Err(Error::Reserved);
        }
        check_events(&events)?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&[u8]> = events.iter().map(|event| event.id.as_bytes().as_slice()).collect();
        let metadata = events.iter().map(rows::metadata).collect::<Result<Vec<_>, _>>()?;
        let payloads: Vec<&[u8]> = events.iter().map(|event| event.payload.as_ref()).collect();
        let sizes: Vec<i64> = events.iter().map(|event| count_to_sql(event.bytes() + EVENT_BYTES)).collect();
        let retention = self.keeper.plans.of(topic.namespace());
        let placed = self
            .ask(topic.namespace(), || {
                sqlx::query_as::<_, (i64, i64, bool)>(
                    "SELECT pos, at_ms, crowded FROM append($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                )
                .bind(topic.namespace().as_str())
                .bind(topic.topic())
                .bind(&ids)
                .bind(&metadata)
                .bind(&payloads)
                .bind(&sizes)
                .bind(count_to_sql(TOPICS_MAX))
                .bind(to_sql(retention.age_ms))
                .bind(to_sql(retention.bytes))
                .fetch_all(&self.server.pool)
            })
            .await?;
        if placed.len() != events.len() {
            return Err(Error::Topics);
        }
        if placed.iter().any(|(.., crowded)| *crowded) {
            // The events are there whatever becomes of this; the next append, or a sweep, goes on.
            if let Err(error) = self.keeper.trim(topic.namespace(), usize::MAX).await {
                tracing::warn!(namespace = %topic.namespace(), %error, "cannot remove old events");
            }
        }
        self.ring(topic);
        let appended = events.iter().zip(placed).map(|(event, (position, timestamp_ms, _))| Appended {
            id: event.id,
            position: from_sql(position),
            timestamp_ms: from_sql(timestamp_ms),
        });
        Ok(appended.collect())
    }

    async fn read(&self, topic: &TopicKey, from: From, limit: usize) -> Result<Page, Error> {
        let after = match from {
            From::Start => 0,
            From::After(position) => to_sql(position),
            From::End => {
                let (last, _) = self.since(topic, i64::MAX).await?;
                return Ok(Page { events: Vec::new(), after: from_sql(last) });
            }
            From::Since(time_ms) => {
                let (before, found) = self.since(topic, to_sql(time_ms)).await?;
                if !found {
                    // What came meanwhile may be older than the time.
                    return Ok(Page { events: Vec::new(), after: from_sql(before) });
                }
                before
            }
        };
        self.read_after(topic, after, limit).await
    }

    async fn next(&self, group: &GroupKey, lease: Lease) -> Result<Vec<Delivery>, Error> {
        if lease.ack_wait_ms == 0 {
            return Err(Error::AckWait);
        }
        let (topic, namespace) = (group.topic(), group.topic().namespace());
        let age_ms = self.keeper.plans.of(namespace).age_ms;
        let mut taken = self.take(group, &lease, Some(age_ms)).await?;
        if taken.iter().any(TakenRow::is_stale) {
            // First, so that what is too old counts as lost.
            self.keeper.trim(namespace, SWEEP_STEPS).await?;
            taken = self.take(group, &lease, None).await?;
        }
        if taken.iter().any(TakenRow::is_refused) {
            return Err(Error::Groups);
        }
        let mut deliveries = Vec::with_capacity(taken.len());
        let mut died = false;
        for row in taken {
            if let Some((id, attempts)) = row.buried() {
                let (topic, group) = (topic.topic(), group.group());
                tracing::warn!(%namespace, topic, group, %id, attempts, "an event was delivered too often");
                died = true;
            } else {
                deliveries.push(row.delivery()?);
            }
        }
        if died && let Some(dead) = topic.dead() {
            self.ring(&dead);
        }
        Ok(deliveries)
    }

    /// Tried again because its connection broke, it may find that it was done before: the answer is less then.
    async fn ack(&self, group: &GroupKey, ids: &[Uuid]) -> Result<usize, Error> {
        let topic = group.topic();
        let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
        let done = self.ask(topic.namespace(), || {
            sqlx::query(if ids.len() == 1 { ACK_ONE } else { ACK_MANY })
                .bind(topic.namespace().as_str())
                .bind(topic.topic())
                .bind(group.group())
                .bind(&ids)
                .execute(&self.server.pool)
        });
        let was = done.await?.rows_affected();
        // Places in flight are free again. Who took these takes the next: other nodes need not be told.
        self.bells.ring(topic);
        Ok(usize::try_from(was).unwrap_or(usize::MAX))
    }

    async fn nack(&self, group: &GroupKey, id: Uuid, nack: Nack) -> Result<bool, Error> {
        let topic = group.topic();
        let fate = match nack.then {
            Then::Again => 0,
            Then::Dead => 1,
            Then::Unheard => 2,
        };
        let reason = cut(&nack.reason);
        let (was, died) = self
            .ask(topic.namespace(), || {
                sqlx::query_as::<_, (bool, bool)>(
                    "SELECT was, died FROM refuse($1, $2, $3, $4, $5, $6, $7, $8)",
                )
                .bind(topic.namespace().as_str())
                .bind(topic.topic())
                .bind(group.group())
                .bind(id.as_bytes().as_slice())
                .bind(i64::from(nack.attempt))
                .bind(to_sql(nack.delay_ms).min(rows::WAIT_MS_MAX))
                .bind(&reason)
                .bind(fate)
                .fetch_one(&self.server.pool)
            })
            .await?;
        self.ring(topic);
        if died {
            let (namespace, attempts) = (topic.namespace(), nack.attempt);
            let (topic, group) = (topic.topic(), group.group());
            tracing::warn!(%namespace, topic, group, %id, attempts, "an event was delivered too often");
        }
        if let Some(dead) = topic.dead().filter(|_| died) {
            self.ring(&dead);
        }
        Ok(was)
    }

    async fn topics(&self, namespace: &Namespace) -> Result<Vec<TopicInfo>, Error> {
        let found = self
            .ask(namespace, || {
                sqlx::query_as::<_, (String, i64, i64, i64)>(
"SELECT topic, last - gone, last, lost FROM topics WHERE namespace = $1 ORDER BY topic LIMIT $2",
                )
                .bind(namespace.as_str())
                .bind(count_to_sql(TOPICS_MAX.saturating_mul(2)))
                .fetch_all(&self.server.pool)
            })
            .await?;
        let info = |(topic, events, last, lost)| TopicInfo {
            topic,
            events: from_sql(events),
            last: from_sql(last),
            lost: from_sql(lost),
        };
        Ok(found.into_iter().map(info).collect())
    }

    async fn groups(&self, topic: &TopicKey) -> Result<Vec<GroupInfo>, Error> {
        let found = self
            .ask(topic.namespace(), || {
                sqlx::query_as::<_, (String, i64, i64, i64)>(
                    "SELECT g.name, g.cursor_at,
                       (SELECT COUNT(*) FROM pending p
                         WHERE p.namespace = g.namespace AND p.topic = g.topic AND p.name = g.name),
                       GREATEST(t.last - GREATEST(g.cursor_at, t.gone), 0)
                     FROM groups g JOIN topics t ON t.namespace = g.namespace AND t.topic = g.topic
                     WHERE g.namespace = $1 AND g.topic = $2 ORDER BY g.name",
                )
                .bind(topic.namespace().as_str())
                .bind(topic.topic())
                .fetch_all(&self.server.pool)
            })
            .await?;
        let info = |(group, cursor, pending, behind)| GroupInfo {
            group,
            cursor: from_sql(cursor),
            pending: from_sql(pending),
            behind: from_sql(behind),
        };
        Ok(found.into_iter().map(info).collect())
    }

    async fn held(&self, namespace: &Namespace) -> Result<u64, Error> {
        let held = self.ask(namespace, || {
            let sql = "SELECT COALESCE(SUM(bytes), 0)::BIGINT FROM topics WHERE namespace = $1";
            sqlx::query_as::<_, (i64,)>(sql).bind(namespace.as_str()).fetch_one(&self.server.pool)
        });
        Ok(from_sql(held.await?.0))
    }

    fn bell(&self, topic: &TopicKey) -> watch::Receiver<u64> {
        self.bells.of(topic)
    }

    async fn now_ms(&self) -> Result<u64, Error> {
        let now = self
            .server
            .retried(|| sqlx::query_as::<_, (i64,)>("SELECT now_ms()").fetch_one(&self.server.pool));
        Ok(from_sql(now.await?.0))
    }

    async fn check(&self) -> Result<(), Error> {
        let asked = self
            .server
            .retried(|| async { sqlx::query("SELECT 1").execute(&self.server.pool).await.map(drop) });
        Ok(asked.await?)
    }
}

/// As the functions of the schema know it.
fn start(from: From) -> (i32, i64) {
    match from {
        From::Start => (0, 0),
        From::End => (1, 0),
        From::After(position) => (2, to_sql(position)),
        From::Since(time_ms) => (3, to_sql(time_ms)),
    }
}

fn count_to_sql(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
