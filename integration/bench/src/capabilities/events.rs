//! `events.publish` and `events.read` by a guest, and events that call a guest, on each log.
//!
//! A delivery is what a `[[consume]]` makes: the platform takes events, calls the guest for each and acknowledges it. Its
//! floor takes and acknowledges by the client library, and calls the same guest the same way: what a call costs is the
//! affair of the group `calls`.

mod native;
mod postgres;
mod redis;
mod sqlite;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use micro_api::name::Namespace;
use micro_capability::Capabilities;
use micro_capability::broker::Deliver;
use micro_capability::events::{
    Backend, Consumer, Consumers, From as Place, GroupKey, New, Plans, Postgres, PostgresConfig, Redis,
    RedisEventsConfig, Retention, Sqlite, SqliteConfig, TopicKey,
};
use micro_capability::log::{Logs, LogsConfig};
use tempfile::TempDir;
use uuid::Uuid;

use self::native::{GROUP, KEPT_BYTES, Native, Terms};
use super::compare::{CONCURRENCIES, Case, Judge, compare, count};
use super::delivery::{DELIVERED, Heard, Source, delivered, target};
use super::floor::Floor;
use super::grown::{Measured, Sizes, slower};
use super::looper::{Looper, Operation, object};
use super::servers;
use super::sqlite::Medium;
use super::{KEYS, TOPIC, VALUE_BYTES};
use crate::Effort;
use crate::table::{Goal, Pairs, Row};

const PUBLISH: Operation = Operation { name: "events.publish", keys: KEYS, bytes: VALUE_BYTES };
const READ: Operation = Operation { name: "events.read", ..PUBLISH };

/// Where events are.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Sqlite(Medium),
    Postgres,
    Redis,
}

/// A log with a topic, and the same without us.
struct Log {
    kind: Kind,
    backend: Arc<dyn Backend>,
    native: Arc<dyn Native>,
    looper: Arc<Looper>,
    lies: Lies,
}

/// What goes when a log is removed.
enum Lies {
    Folder(TempDir),
    Postgres(servers::Postgres),
    Redis(servers::Redis),
}

impl Kind {
    /// Those that this run has.
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Sqlite(Medium::Disk)];
        all.extend(servers::postgres_url().map(|_| Self::Postgres));
        all.extend(servers::redis_url().map(|_| Self::Redis));
        all
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sqlite(medium) => medium.name(),
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
        }
    }

    /// The floor's name.
    fn client(self) -> &'static str {
        match self {
            Self::Sqlite(_) => "rusqlite alone",
            Self::Postgres => "sqlx alone",
            Self::Redis => "redis-rs alone",
        }
    }

    fn judge(self) -> Judge {
        match self {
            Self::Sqlite(_) => Judge::Embedded,
            Self::Postgres | Self::Redis => Judge::Throughput,
        }
    }
}

pub(super) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let in_memory = Kind::Sqlite(Medium::Memory);
    for kind in std::iter::once(in_memory).chain(Kind::all()) {
        let log = Log::open(kind, "few", KEYS).await.with_context(|| format!("events in {}", kind.name()))?;
        let measured = measure_on(&log, effort).await;
        log.remove().await?;
        rows.extend(measured.with_context(|| format!("events in {}", kind.name()))?);
    }
    Ok(rows)
}

/// Topics that have grown.
pub(super) async fn grown(sizes: Sizes, effort: Effort) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for kind in Kind::all() {
        let doing = || format!("a grown topic in {}", kind.name());
        let since = Instant::now();
        let small = Log::open(kind, "small", sizes.few).await.with_context(doing)?;
        let large = Log::open(kind, "large", sizes.many).await.with_context(doing)?;
        eprintln!("{}: filled in {:?}", doing(), since.elapsed());
        let measured = grown_on(&small, &large, sizes, effort).await;
        small.remove().await?;
        large.remove().await?;
        rows.extend(measured.with_context(doing)?);
    }
    Ok(rows)
}

impl Log {
    /// With a topic of so many events.
    async fn open(kind: Kind, name: &str, events: u64) -> Result<Self> {
        let (backend, lies): (Arc<dyn Backend>, _) = match kind {
            Kind::Sqlite(medium) => {
                let folder = medium.folder()?;
                let config = SqliteConfig::new(folder.path().to_owned());
                let config = SqliteConfig { namespace_bytes_max: KEPT_BYTES, plans: plans(), ..config };
                (Sqlite::open(&config)?, Lies::Folder(folder))
            }
            Kind::Postgres => {
                let (url, schema) =
                    (servers::postgres_url().context("no server")?, format!("bench_events_{name}"));
                let config =
                    PostgresConfig { schema: schema.clone(), plans: plans(), ..PostgresConfig::new(&url) };
                let server = servers::Postgres::connect(&url, &schema, postgres::CONNECTIONS).await?;
                (Postgres::open(&config).await?, Lies::Postgres(server))
            }
            Kind::Redis => {
                let (url, prefix) =
                    (servers::redis_url().context("no server")?, format!("bench-events-{name}"));
                let mut config = RedisEventsConfig { plans: plans(), ..RedisEventsConfig::new(&url) };
                config.server.prefix.clone_from(&prefix);
                let server = servers::Redis::connect(&url, &prefix).await?;
                (Redis::open(&config).await?, Lies::Redis(server))
            }
        };
        // Makes the topic.
        backend.append(&topic()?, vec![first_event()]).await?;
        let native: Arc<dyn Native> = match &lies {
            Lies::Folder(folder) => Arc::new(sqlite::Log(super::sqlite::File::open(folder.path())?)),
            Lies::Postgres(server) => Arc::new(postgres::Log::new(server.clone())),
            Lies::Redis(server) => Arc::new(redis::Log::new(server.clone())),
        };
        native.fill(events).await?;
        let own = Arc::clone(&backend);
        let looper = Looper::new(|capabilities| Capabilities { events: own, ..capabilities }).await?;
        Ok(Self { kind, backend, native, looper: Arc::new(looper), lies })
    }

    fn case(&self, operation: Operation, times: u64, floor: Floor) -> Case {
        Case {
            what: format!("{} in {}", operation.name, self.kind.name()),
            operation,
            count: times,
            floor_name: self.kind.client(),
            floor,
            judge: self.kind.judge(),
            allowed: None,
        }
    }

    async fn remove(self) -> Result<()> {
        let Self { backend, native, looper, lies, .. } = self;
        // First, so that nobody asks for what is gone.
        drop((backend, native, looper));
        match lies {
            Lies::Folder(folder) => folder.close().context("remove the folder"),
            Lies::Postgres(server) => server.remove().await,
            Lies::Redis(server) => server.remove().await,
        }
    }
}

/// Retention removes nothing.
fn plans() -> Arc<Plans> {
    Arc::new(Plans::new(Retention { bytes: KEPT_BYTES, age_ms: native::AGE_MS }))
}

fn topic() -> Result<TopicKey> {
    Ok(TopicKey::named(&Namespace::default(), TOPIC)?)
}

fn first_event() -> New {
    let metadata = [("content-type".to_owned(), "application/json".to_owned())].into();
    New { id: Uuid::new_v4(), metadata, payload: object(VALUE_BYTES).into() }
}

async fn measure_on(log: &Log, effort: Effort) -> Result<Vec<Row>> {
    let mut publish = log.case(PUBLISH, 500, log.native.append());
    if let Kind::Sqlite(medium) = log.kind {
        publish.judge = medium.judge();
    }
    let mut rows = compare(&log.looper, &publish, effort).await?;
    let read = log.case(READ, 2_000, log.native.read(KEYS));
    rows.extend(compare(&log.looper, &read, effort).await?);
    let judge = log.kind.judge();
    for concurrency in CONCURRENCIES {
        let mut pairs = Pairs::default();
        for _ in 0..effort.turns {
            let each = count(DELIVERED, effort);
            let (ours, floor) = (pushed(log, each, concurrency).await?, taken(log, each, concurrency).await?);
            judge.note(&mut pairs, ours, floor);
        }
        let what = format!("events: delivery in {}, {concurrency} at once", log.kind.name());
        rows.push(judge.row(pairs, what, &format!("{} and the call", log.kind.client())));
    }
    Ok(rows)
}

async fn grown_on(small: &Log, large: &Log, sizes: Sizes, effort: Effort) -> Result<Vec<Row>> {
    let Sizes { few, many } = sizes;
    let name = large.kind.name();
    let sized = |operation: Operation| {
        let one = |log: &Log, keys: u64| {
            let is_read = operation.name == READ.name;
            let floor = if is_read { log.native.read(keys) } else { log.native.append() };
            let looper = Arc::clone(&log.looper);
            Measured { looper, operation: Operation { keys, ..operation }, floor }
        };
        [one(small, few), one(large, many)]
    };
    let mut rows = Vec::new();
    for (operation, each) in [(PUBLISH, 300), (READ, 1_000)] {
        let what = format!("{} in {name}, {many} events beside {few}, p50", operation.name);
        let [small, large] = sized(operation);
        rows.push(slower(what, &small, &large, each, effort).await?);
    }
    let mut pairs = Pairs::default();
    for _ in 0..effort.turns {
        let each = count(DELIVERED, effort);
        let (ours, ours_small) = (pushed(large, each, 1).await?, pushed(small, each, 1).await?);
        let (floor, floor_small) = (taken(large, each, 1).await?, taken(small, each, 1).await?);
        pairs.push(ours / ours_small, floor / floor_small);
    }
    let what = format!("events: delivery in {name}, {many} events beside {few}");
    let show = |ratio: f64| format!("{ratio:.2} x as slow");
    rows.push(pairs.row(what, large.kind.client(), show, Goal::AtMost(super::grown::SLOWER)));
    Ok(rows)
}

/// A group that nobody had, and the place after which only so many events come.
async fn group(log: &Log, events: u64) -> Result<(String, u64)> {
    let topics = log.backend.topics(&Namespace::default()).await?;
    let last = topics.iter().find(|info| info.topic == TOPIC).context("the topic is missing")?.last;
    ensure!(last >= events, "the topic has {last} events");
    Ok((format!("{GROUP}{}", Uuid::new_v4().simple()), last - events))
}

/// Seconds of an event that is delivered by us.
async fn pushed(log: &Log, events: u64, concurrency: u64) -> Result<f64> {
    let (name, after) = group(log, events).await?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let logs = Logs::open(LogsConfig::new(folder.path().to_owned()))?;
    let heard = Heard::new(&log.looper, events);
    let consumers = Consumers::new(Arc::clone(&log.backend), Arc::clone(&heard) as Arc<dyn Deliver>, logs);
    let target = target(concurrency)?;
    let (group, start) = (GroupKey::named(topic()?, &name)?, Place::After(after));
    let since = Instant::now();
    consumers.follow(HashSet::from([Consumer { deployment: "bench".to_owned(), group, start, target }]));
    heard.all().await?;
    let took = since.elapsed();
    consumers.follow(HashSet::new());
    Ok(took.as_secs_f64() / events as f64)
}

/// The same without us.
async fn taken(log: &Log, events: u64, concurrency: u64) -> Result<f64> {
    let (group, after) = group(log, events).await?;
    let terms = Terms { group, after, max: usize::try_from(concurrency)? };
    let source = Arc::new(OfLog { native: Arc::clone(&log.native), terms });
    delivered(source, &log.looper, events).await
}

/// A group of a log, as the floor sees it.
struct OfLog {
    native: Arc<dyn Native>,
    terms: Terms,
}

#[async_trait]
impl Source for OfLog {
    type Token = Uuid;

    async fn take(&self) -> Result<Vec<Uuid>> {
        self.native.take(&self.terms).await
    }

    async fn ack(&self, token: Uuid) -> Result<()> {
        self.native.ack(&self.terms.group, token).await
    }
}
