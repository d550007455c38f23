//! `events.publish` by a guest, and taking and acknowledging events as the platform does it for whoever consumes them.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use micro_api::name::Namespace;
use micro_capability::broker::{Call, Deliver, Target, Undelivered};
use micro_capability::events::{
    APPEND_EVENTS_MAX, Backend, Consumer, Consumers, From as Place, GroupKey, Lease, New, Plans, Retention,
    Sqlite, SqliteConfig, TopicKey,
};
use micro_capability::log::{Logs, LogsConfig};
use micro_capability::{Capabilities, Scope};
use tokio::sync::Notify;
use uuid::Uuid;

use super::compare::{Case, Judge, compare, count};
use super::floor::Floor;
use super::grown::{Measured, slower};
use super::looper::{Looper, Operation, Turn, object, scope};
use super::others::TOPIC;
use super::{KEYS, VALUE_BYTES, sqlite};
use crate::Effort;
use crate::table::{Goal, Pairs, Row, seconds};

const PUBLISH: Operation = Operation { name: "events.publish", keys: KEYS, bytes: VALUE_BYTES };
const ACK_WAIT: Duration = Duration::from_secs(600);
/// Events that are consumed in a turn.
const CONSUMED: u64 = 1_000;
/// What an embedded delivery may take beyond its floor, seconds.
const EMBEDDED_MORE: f64 = 5e-6;

/// A log, and how it is judged.
struct Subject {
    name: &'static str,
    backend: Arc<dyn Backend>,
    judge: Judge,
}

pub(super) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let backend: Arc<dyn Backend> = sqlite_in(folder.path())?;
    // Another backend is one more subject.
    let subjects = [Subject { name: "SQLite", backend, judge: Judge::Embedded }];
    let mut rows = Vec::new();
    for subject in &subjects {
        rows.extend(measure_on(subject, effort).await.with_context(|| subject.name)?);
    }
    let alone = Case {
        floor_name: "rusqlite alone",
        floor: sqlite::File::open(folder.path())?.append(TOPIC, VALUE_BYTES),
        judge: Judge::Shown,
        ..publishing(&subjects[0])?
    };
    rows.extend(compare(&looper(&subjects[0].backend).await?, &alone, effort).await?);
    Ok(rows)
}

/// A topic that has grown.
pub(super) async fn grown(many: u64, effort: Effort) -> Result<Vec<Row>> {
    let (small, large) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (mut sized, mut backends) = (Vec::new(), Vec::new());
    for (folder, events) in [(small.path(), KEYS), (large.path(), many)] {
        let backend: Arc<dyn Backend> = sqlite_in(folder)?;
        fill(&*backend, events).await?;
        let floor = sqlite::File::open(folder)?.append(TOPIC, VALUE_BYTES);
        let looper = Arc::new(looper(&backend).await?);
        sized.push(Measured { looper, operation: PUBLISH, floor });
        backends.push(backend);
    }
    let ([small, large], [small_log, large_log]) = (sized.as_slice(), backends.as_slice()) else {
        anyhow::bail!("two topics are compared");
    };
    let what = format!("events.publish in SQLite, {many} events beside {KEYS}, p50");
    let mut rows = vec![slower(what, small, large, 500, effort).await?];
    let mut pairs = Pairs::default();
    for _ in 0..effort.turns {
        let each = count(CONSUMED, effort);
        let (ours, ours_small) = (pushed(large_log, each, 1).await?, pushed(small_log, each, 1).await?);
        let (floor, floor_small) = (taken(large_log, each, 1).await?, taken(small_log, each, 1).await?);
        pairs.push(ours / ours_small, floor / floor_small);
    }
    let what = format!("events: next and ack in SQLite, {many} events beside {KEYS}");
    let show = |ratio: f64| format!("{ratio:.2} x as slow");
    rows.push(pairs.row(what, "floor", show, Goal::AtMost(1.5)));
    Ok(rows)
}

/// The log in a folder, of which retention removes nothing.
fn sqlite_in(folder: &Path) -> Result<Arc<Sqlite>> {
    let plans = Arc::new(Plans::new(Retention { bytes: 8 << 30, ..Retention::default() }));
    let config = SqliteConfig { namespace_bytes_max: 8 << 30, plans, ..SqliteConfig::new(folder.to_owned()) };
    Ok(Sqlite::open(&config)?)
}

async fn looper(events: &Arc<dyn Backend>) -> Result<Looper> {
    let events = Arc::clone(events);
    Looper::new(|capabilities| Capabilities { events, ..capabilities }).await
}

fn topic() -> Result<TopicKey> {
    Ok(TopicKey::named(&Namespace::default(), TOPIC)?)
}

fn event(payload: &Bytes) -> New {
    // A guest's bytes are copied out of its memory; the floor's are made anew, too.
    let payload = Bytes::copy_from_slice(payload);
    let metadata = BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]);
    New { id: Uuid::new_v4(), metadata, payload }
}

async fn fill(backend: &dyn Backend, events: u64) -> Result<()> {
    let (topic, payload) = (topic()?, Bytes::from(object(VALUE_BYTES)));
    let mut left = usize::try_from(events)?;
    while left > 0 {
        let some = left.min(APPEND_EVENTS_MAX);
        backend.append(&topic, (0..some).map(|_| event(&payload)).collect()).await?;
        left -= some;
    }
    Ok(())
}

/// A guest that publishes, beside its backend.
fn publishing(subject: &Subject) -> Result<Case> {
    let (backend, topic) = (Arc::clone(&subject.backend), topic()?);
    let payload = Bytes::from(object(VALUE_BYTES));
    let floor = Floor::new(move |_| {
        let (backend, topic, event) = (Arc::clone(&backend), topic.clone(), event(&payload));
        async move {
            backend.append(&topic, vec![event]).await?;
            Ok(())
        }
    });
    Ok(Case {
        what: format!("events.publish in {}", subject.name),
        operation: PUBLISH,
        count: 1_000,
        floor_name: "backend alone",
        floor,
        judge: subject.judge,
        allowed: None,
    })
}

async fn measure_on(subject: &Subject, effort: Effort) -> Result<Vec<Row>> {
    fill(&*subject.backend, KEYS).await?;
    let mut rows = compare(&looper(&subject.backend).await?, &publishing(subject)?, effort).await?;
    for concurrency in [1, 16] {
        let mut pairs = Pairs::default();
        for _ in 0..effort.turns {
            let each = count(CONSUMED, effort);
            let ours = pushed(&subject.backend, each, concurrency).await?;
            let floor = taken(&subject.backend, each, concurrency).await?;
            match subject.judge {
                Judge::Networked => pairs.push(1.0 / ours, 1.0 / floor),
                Judge::Embedded | Judge::Shown => pairs.push(ours, floor + EMBEDDED_MORE),
            }
        }
        let what = format!("events: next and ack in {}, {concurrency} at once", subject.name);
        let rate = |rate: f64| format!("{rate:.0}/s");
        rows.push(match subject.judge {
            Judge::Networked => pairs.row(what, "backend alone", rate, Goal::AtLeast(0.7)),
            Judge::Embedded | Judge::Shown => {
                pairs.row(what, "backend alone + 5 us", seconds, Goal::AtMost(1.0))
            }
        });
    }
    Ok(rows)
}

/// A group that nobody had, whose first event is the last but so many of the topic.
async fn group(backend: &dyn Backend, events: u64) -> Result<(GroupKey, Place)> {
    let topics = backend.topics(&Namespace::default()).await?;
    let last = topics.iter().find(|info| info.topic == TOPIC).context("the topic is missing")?.last;
    ensure!(last >= events, "the topic has {last} events");
    let name = format!("g{}", Uuid::new_v4().simple());
    Ok((GroupKey::named(topic()?, &name)?, Place::After(last - events)))
}

/// Seconds of an event that is pushed to somebody who answers at once.
async fn pushed(backend: &Arc<dyn Backend>, events: u64, concurrency: usize) -> Result<f64> {
    let (group, start) = group(&**backend, events).await?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let logs = Logs::open(LogsConfig::new(folder.path().to_owned()))?;
    let heard = Arc::new(Heard { left: AtomicU64::new(events), all: Notify::new() });
    let consumers = Consumers::new(Arc::clone(backend), Arc::clone(&heard) as Arc<dyn Deliver>, logs);
    let target = Target {
        scope: scope()?,
        endpoint: "Looper.Run".to_owned(),
        concurrency,
        retries: 0,
        ack_wait: ACK_WAIT,
        delay: Duration::ZERO,
    };
    let since = Instant::now();
    consumers.follow(HashSet::from([Consumer { deployment: "bench".to_owned(), group, start, target }]));
    tokio::time::timeout(ACK_WAIT, heard.all.notified()).await.context("an event did not come")?;
    let took = since.elapsed();
    consumers.follow(HashSet::new());
    Ok(took.as_secs_f64() / events as f64)
}

/// Counts what is delivered.
struct Heard {
    left: AtomicU64,
    all: Notify,
}

#[async_trait]
impl Deliver for Heard {
    fn ready(&self, _scope: &Scope) -> Result<(), micro_api::Error> {
        Ok(())
    }

    async fn deliver(&self, _call: Call) -> Result<Bytes, Undelivered> {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.all.notify_one();
        }
        Ok(Bytes::new())
    }
}

/// Seconds of an event that is taken and acknowledged, by so many at once.
async fn taken(backend: &Arc<dyn Backend>, events: u64, concurrency: usize) -> Result<f64> {
    let (group, start) = group(&**backend, events).await?;
    let lease = Lease {
        max: 1,
        in_flight: concurrency,
        ack_wait_ms: u64::try_from(ACK_WAIT.as_millis())?,
        retries: Some(0),
        start,
    };
    let backend = Arc::clone(backend);
    let floor = Floor::new(move |_| {
        let (backend, group) = (Arc::clone(&backend), group.clone());
        async move {
            let taken = backend.next(&group, lease).await?;
            for delivery in taken {
                backend.ack(&group, delivery.event.id).await?;
            }
            Ok(())
        }
    });
    let turn = Turn { count: events, first: 0, concurrency: concurrency as u64 };
    Ok(1.0 / floor.run(turn).await?.rate)
}
