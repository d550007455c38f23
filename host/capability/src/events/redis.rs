//! Events in Redis: nodes that name the same server and prefix share one log.
//!
//! A topic is a stream whose entries are called by their positions. Every call is one script and one round trip, so
//! positions are given and become visible in one order; the times that count are the server's. All calls may be made
//! twice: an append knows its events by their ids, what was taken is known by the call's id, and the rest is the same twice
//! as once. What a node took is due again soon after that node gave its last sign of life.

mod keeper;
mod names;
mod rows;
mod scripts;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_api::name::Namespace;
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::backend::{EVENT_BYTES, check_events};
use super::bells::Bells;
use super::{
    Appended, Backend, Delivery, Error, From, GROUPS_MAX, GroupInfo, GroupKey, IN_FLIGHT_MAX, Lease, Nack,
    New, PENDING_MAX, Page, Plans, READ_BYTES_MAX, READ_EVENTS_MAX, REASON_BYTES_MAX, TOPICS_MAX, Then,
    TopicInfo, TopicKey,
};
use crate::keeping::keep_clean;
use crate::redis::{Call, Failure, Heard, Hearing, Redis as Server, RedisConfig, Script};
use keeper::SWEEP_STEPS;
use rows::{Columns, Groups, Numbers, Taken};
use scripts::{CLOCK, Scripts};

/// How exactly it is known when a group asked, milliseconds: far less than what ends one without a name of its own.
const ASKED_MS: u64 = 60_000;
/// Why an event is delivered again that nobody refused.
const SILENCE: &str = "no answer within ack_wait";
/// Namespaces whose turns are remembered.
const TURNS_MAX: u64 = 65_536;

/// Where the events are, and the bounds of their use.
#[derive(Debug, Clone)]
pub struct RedisEventsConfig {
    /// The server. One namespace has at most half of its calls at once.
    pub server: RedisConfig,
    /// How long after its last sign of life a process that died keeps what it took. It gives one each third of that.
    pub node_lease: Duration,
    /// How often old events are looked for where nobody appends.
    pub sweep_every: Duration,
    /// How long each namespace's events are kept.
    pub plans: Arc<Plans>,
}

impl RedisEventsConfig {
    /// The defaults: those of [`RedisConfig`], a lease of 5 s, a sweep each minute.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            server: RedisConfig::new(url),
            node_lease: Duration::from_secs(5),
            sweep_every: Duration::from_secs(60),
            plans: Arc::default(),
        }
    }
}

/// A log of events that nodes share.
#[derive(Debug)]
pub struct Redis {
    log: Arc<Log>,
    bells: Arc<Bells>,
    turns: Cache<Namespace, Arc<Semaphore>>,
    calls_per_namespace_max: usize,
    acquire_timeout: Duration,
    _hearing: Hearing,
    _pulse: AbortOnDropHandle<()>,
}

/// The server with what is asked there.
#[derive(Debug)]
struct Log {
    server: Arc<Server>,
    scripts: Scripts,
    spaces: String,
    plans: Arc<Plans>,
    /// This process, as long as it runs.
    node: String,
    node_lease_ms: u64,
}

impl std::convert::From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Busy => Self::Busy,
            Failure::Full => Self::Full,
            other => Self::Backend(other.to_string()),
        }
    }
}

impl Redis {
    /// Connects, reads what the server's settings are worth, and begins to listen, to give signs of life and to sweep.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, is a replica or part of a cluster, or would throw events away when its
    /// memory is full.
    pub async fn open(config: &RedisEventsConfig) -> Result<Arc<Self>, Error> {
        Self::open_with(config, CLOCK).await
    }

    async fn open_with(config: &RedisEventsConfig, clock: &str) -> Result<Arc<Self>, Error> {
        let server = Server::open(&config.server).await?;
        let bells = Arc::<Bells>::default();
        let heard_by = Arc::clone(&bells);
        let hearing = server.hear(names::channel(server.prefix()), move |heard| match heard {
            Heard::Message(message) => {
                if let Some(topic) = names::told(message) {
                    heard_by.ring(&topic);
                }
            }
            Heard::Begins => heard_by.ring_all(),
        });
        let log = Arc::new(Log {
            spaces: names::spaces(server.prefix()),
            server,
            scripts: Scripts::new(clock),
            plans: Arc::clone(&config.plans),
            node: Uuid::new_v4().simple().to_string(),
            node_lease_ms: u64::try_from(config.node_lease.as_millis()).unwrap_or(u64::MAX).max(1),
        });
        let pulse = keeper::keep_alive(&log, config.node_lease / 3);
        keep_clean(&log, config.sweep_every, "Old events cannot be removed", |log| async move {
            log.sweep().await
        });
        Ok(Arc::new(Self {
            log,
            bells,
            turns: Cache::builder().max_capacity(TURNS_MAX).time_to_idle(Duration::from_secs(600)).build(),
            calls_per_namespace_max: (config.server.calls_max / 2).max(1),
            acquire_timeout: config.server.acquire_timeout,
            _hearing: hearing,
            _pulse: pulse,
        }))
    }

    /// The namespace's turn: nobody's calls take all others' places.
    async fn turn(&self, namespace: &Namespace) -> Result<OwnedSemaphorePermit, Error> {
        let calls_max = self.calls_per_namespace_max;
        let turns = self.turns.get_with_by_ref(namespace, || Arc::new(Semaphore::new(calls_max)));
        let turn = tokio::time::timeout(self.acquire_timeout, turns.acquire_owned()).await;
        turn.map_err(|_| Error::Busy)?.map_err(|_| Error::Busy)
    }

    /// Takes what the group is due; with `checked`, nothing if the namespace has events that are to be removed first.
    async fn take(&self, group: &GroupKey, lease: &Lease, checked: bool) -> Result<Taken, Error> {
        let (log, topic) = (&self.log, group.topic());
        let retention = log.plans.of(topic.namespace());
        let age = if checked { rows::number(retention.age_ms).to_string() } else { String::new() };
        let retries = lease.retries.map_or_else(|| "-".to_owned(), |retries| retries.to_string());
        let (start, at) = rows::start(lease.start);
        let call = log.call(&log.scripts.take, topic.namespace()).arg(topic.topic()).arg(group.group());
        let call = call.arg(&log.node).arg(log.node_lease_ms).arg(rows::id(Uuid::new_v4()));
        let call = call.arg(lease.max.min(PENDING_MAX)).arg(rows::number(lease.ack_wait_ms)).arg(retries);
        let call = call.arg(lease.in_flight.min(IN_FLIGHT_MAX)).arg(start).arg(at);
        let call = call.arg(age).arg(rows::number(retention.bytes)).arg(GROUPS_MAX).arg(PENDING_MAX);
        let call = call.arg(READ_BYTES_MAX).arg(rows::json(SILENCE)?).arg(ASKED_MS);
        Ok(log.server.retried(&call).await?)
    }
}

impl Log {
    /// A script about a namespace; its own arguments come after.
    fn call<'a>(&self, script: &'a Script, namespace: &Namespace) -> Call<'a> {
        Call::script(script, &names::keys(self.server.prefix(), namespace.as_str())).arg(namespace.as_str())
    }
}

#[async_trait]
impl Backend for Redis {
    async fn append(&self, topic: &TopicKey, events: Vec<New>) -> Result<Vec<Appended>, Error> {
        if topic.dead().is_none() {
            return Err(Error::Reserved);
        }
        check_events(&events)?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let (log, namespace) = (&self.log, topic.namespace());
        let retention = log.plans.of(namespace);
        let call = log.call(&log.scripts.append, namespace).arg(topic.topic()).arg(TOPICS_MAX);
        let mut call = call.arg(rows::number(retention.age_ms)).arg(rows::number(retention.bytes));
        for event in &events {
            call = call.arg(rows::id(event.id)).arg(rows::metadata(event)?);
            call = call.arg(&event.payload[..]).arg(event.bytes() + EVENT_BYTES);
        }
        let _turn = self.turn(namespace).await?;
        let (state, positions, times): (i64, Vec<u64>, Vec<u64>) = log.server.retried(&call).await?;
        if state == 1 {
            return Err(Error::Topics);
        }
        // The events are there whatever becomes of this; the next append, or a sweep, goes on.
        if state == 2
            && let Err(error) = log.trim(namespace, usize::MAX).await
        {
            tracing::warn!(%namespace, %error, "cannot remove old events");
        }
        self.bells.ring(topic);
        let places = positions.into_iter().zip(times);
        let appended = events.iter().zip(places).map(|(event, (position, timestamp_ms))| Appended {
            id: event.id,
            position,
            timestamp_ms,
        });
        Ok(appended.collect())
    }

    async fn read(&self, topic: &TopicKey, from: From, limit: usize) -> Result<Page, Error> {
        let log = &self.log;
        let (start, at) = rows::start(from);
        let call = log.call(&log.scripts.read, topic.namespace()).arg(topic.topic()).arg(start).arg(at);
        let call = call.arg(limit.min(READ_EVENTS_MAX));
        let call = call.arg(rows::number(log.plans.of(topic.namespace()).age_ms)).arg(READ_BYTES_MAX);
        let _turn = self.turn(topic.namespace()).await?;
        let (after, columns): (u64, Columns) = log.server.retried(&call).await?;
        let events = columns.events()?;
        let after = match (events.last(), from) {
            (Some(last), _) => last.position,
            (None, From::After(position)) => position,
            (None, _) => after,
        };
        Ok(Page { events, after })
    }

    async fn next(&self, group: &GroupKey, lease: Lease) -> Result<Vec<Delivery>, Error> {
        if lease.ack_wait_ms == 0 {
            return Err(Error::AckWait);
        }
        let (topic, namespace) = (group.topic(), group.topic().namespace());
        let _turn = self.turn(namespace).await?;
        let mut taken = self.take(group, &lease, true).await?;
        if taken.0 == 1 {
            // First, so that what is too old counts as lost: the cursor would pass over it.
            self.log.trim(namespace, SWEEP_STEPS).await?;
            taken = self.take(group, &lease, false).await?;
        }
        let (state, columns, attempts, buried, buried_attempts) = taken;
        if state == 2 {
            return Err(Error::Groups);
        }
        for (id, attempts) in buried.iter().zip(buried_attempts) {
            warn_dead(group, id, attempts);
        }
        if !buried.is_empty()
            && let Some(dead) = topic.dead()
        {
            self.bells.ring(&dead);
        }
        rows::deliveries(columns, attempts)
    }

    /// Made again because its connection broke, it may find that it was done before: the answer is less then.
    async fn ack(&self, group: &GroupKey, ids: &[Uuid]) -> Result<usize, Error> {
        let (log, topic) = (&self.log, group.topic());
        let call = log.call(&log.scripts.ack, topic.namespace()).arg(topic.topic()).arg(group.group());
        let call = ids.iter().fold(call, |call, id| call.arg(rows::id(*id)));
        let _turn = self.turn(topic.namespace()).await?;
        let was = log.server.retried(&call).await?;
        // Places in flight are free again. Who took these takes the next: other nodes need not be told.
        self.bells.ring(topic);
        Ok(was)
    }

    async fn nack(&self, group: &GroupKey, id: Uuid, nack: Nack) -> Result<bool, Error> {
        let (log, topic) = (&self.log, group.topic());
        let fate = match nack.then {
            Then::Again => "again",
            Then::Dead => "dead",
            Then::Unheard => "unheard",
        };
        let call = log.call(&log.scripts.refuse, topic.namespace()).arg(topic.topic()).arg(group.group());
        let call = call.arg(rows::id(id)).arg(nack.attempt).arg(rows::number(nack.delay_ms)).arg(fate);
        let call = call.arg(rows::json(cut(&nack.reason))?).arg(rows::id(Uuid::new_v4()));
        let _turn = self.turn(topic.namespace()).await?;
        let (was, died): (i64, i64) = log.server.retried(&call).await?;
        self.bells.ring(topic);
        if died > 0 {
            warn_dead(group, &id.to_string(), nack.attempt);
            if let Some(dead) = topic.dead() {
                self.bells.ring(&dead);
            }
        }
        Ok(was > 0)
    }

    async fn topics(&self, namespace: &Namespace) -> Result<Vec<TopicInfo>, Error> {
        let _turn = self.turn(namespace).await?;
        let call = self.log.call(&self.log.scripts.topics, namespace);
        let (last, gone, lost): (Numbers, Numbers, Numbers) = self.log.server.retried(&call).await?;
        let of = |numbers: &Numbers, topic: &str| numbers.get(topic).copied().unwrap_or(0);
        let mut topics: Vec<_> = last
            .into_iter()
            .map(|(topic, last)| TopicInfo {
                events: last.saturating_sub(of(&gone, &topic)),
                last,
                lost: of(&lost, &topic),
                topic,
            })
            .collect();
        topics.sort_by(|one, other| one.topic.cmp(&other.topic));
        Ok(topics)
    }

    async fn groups(&self, topic: &TopicKey) -> Result<Vec<GroupInfo>, Error> {
        let _turn = self.turn(topic.namespace()).await?;
        let call = self.log.call(&self.log.scripts.groups, topic.namespace()).arg(topic.topic());
        let (names, cursors, pending, behind): Groups = self.log.server.retried(&call).await?;
        let all = names.into_iter().zip(cursors).zip(pending).zip(behind);
        let info = |(((group, cursor), pending), behind)| GroupInfo { group, cursor, pending, behind };
        let mut groups: Vec<_> = all.map(info).collect();
        groups.sort_by(|one, other| one.group.cmp(&other.group));
        Ok(groups)
    }

    async fn held(&self, namespace: &Namespace) -> Result<u64, Error> {
        let _turn = self.turn(namespace).await?;
        Ok(self.log.server.retried(&self.log.call(&self.log.scripts.held, namespace)).await?)
    }

    fn bell(&self, topic: &TopicKey) -> watch::Receiver<u64> {
        self.bells.of(topic)
    }

    async fn now_ms(&self) -> Result<u64, Error> {
        let now: (u64, u64) = self.log.server.retried(&Call::plain(::redis::cmd("TIME"))).await?;
        Ok(now.0 * 1_000 + now.1 / 1_000)
    }

    async fn check(&self) -> Result<(), Error> {
        Ok(self.log.server.check().await?)
    }
}

fn warn_dead(group: &GroupKey, id: &str, attempts: u32) {
    let (topic, group) = (group.topic(), group.group());
    let (namespace, topic) = (topic.namespace(), topic.topic());
    tracing::warn!(%namespace, topic, group, id, attempts, "an event was delivered too often");
}

fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default()
}
