//! What every backend must do, run on each.

mod many;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::*;
use crate::redis::server;
use crate::tests::{PATIENCE, ran};

/// Runs a check on each backend, a fresh one each.
fn on_each<F: Future<Output = ()> + Send + 'static>(check: impl Fn(Arc<dyn Backend>, Arc<Plans>) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let on_disk = SqliteConfig::new(folder.path().to_owned());
    for (name, config) in [("memory", SqliteConfig::memory()), ("SQLite", on_disk)] {
        let config = SqliteConfig { sweep_every: Duration::from_millis(50), plans: Arc::default(), ..config };
        let check = check(Sqlite::open(&config).unwrap(), Arc::clone(&config.plans));
        // A task's thread may wait for the disk; that of the test has the worker's thread do so.
        match name {
            "SQLite" => runtime.block_on(runtime.spawn(check)).unwrap(),
            _ => runtime.block_on(check),
        }
        ran("events", name);
    }
    if let Ok(url) = std::env::var("MICRO_TEST_POSTGRES") {
        runtime.block_on(on_postgres(&url, &check));
        ran("events", "PostgreSQL");
    }
    if let Some(url) = server::shared() {
        let mut config =
            RedisEventsConfig { sweep_every: Duration::from_millis(50), ..RedisEventsConfig::new(&url) };
        config.server.prefix = server::prefix();
        runtime.block_on(async {
            check(Redis::open(&config).await.unwrap(), Arc::clone(&config.plans)).await;
            server::remove_all(&url, &config.server.prefix).await;
        });
        ran("events", "Redis");
    }
}

async fn on_postgres<F: Future<Output = ()>>(url: &str, check: impl Fn(Arc<dyn Backend>, Arc<Plans>) -> F) {
    let schema = format!("events_{}", Uuid::new_v4().simple());
    let sweep_every = Duration::from_millis(50);
    let config = PostgresConfig { schema: schema.clone(), sweep_every, ..PostgresConfig::new(url) };
    check(Postgres::open(&config).await.unwrap(), Arc::clone(&config.plans)).await;
    let server = sqlx::PgPool::connect(url).await.unwrap();
    let drop = format!("DROP SCHEMA {schema} CASCADE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&server).await.unwrap();
}

fn topic(namespace: &str, name: &str) -> TopicKey {
    TopicKey::named(&namespace.parse().unwrap(), name).unwrap()
}

fn group(name: &str) -> GroupKey {
    GroupKey::named(topic("one", "t"), name).unwrap()
}

fn new(payload: impl Into<Vec<u8>>) -> New {
    New { id: Uuid::new_v4(), metadata: BTreeMap::new(), payload: payload.into().into() }
}

async fn positions(backend: &dyn Backend, topic: &TopicKey, from: From) -> Vec<u64> {
    backend.read(topic, from, 1_000).await.unwrap().events.iter().map(|event| event.position).collect()
}

async fn take(backend: &dyn Backend, group: &GroupKey, lease: Lease) -> Vec<(u64, u32)> {
    let taken = backend.next(group, lease).await.unwrap();
    taken.iter().map(|delivery| (delivery.event.position, delivery.attempt)).collect()
}

#[test]
fn what_is_appended_is_read_in_order() {
    on_each(|backend, _| async move {
        let own = topic("one", "t");
        assert_eq!(backend.read(&own, From::Start, 10).await.unwrap(), Page::default());
        let first = New { metadata: BTreeMap::from([("k".into(), "v".into())]), ..new("a") };
        let appended = backend.append(&own, vec![first.clone(), new("b")]).await.unwrap();
        assert_eq!(appended.iter().map(|one| one.position).collect::<Vec<_>>(), [1, 2]);
        // The same id again is the same event.
        let again = backend.append(&own, vec![first.clone(), new("c")]).await.unwrap();
        assert_eq!((again[0], again[1].position), (appended[0], 3));
        let page = backend.read(&own, From::Start, 2).await.unwrap();
        assert_eq!((page.events[0].id, &page.events[0].metadata, page.after), (first.id, &first.metadata, 2));
        assert_eq!(page.events[0].payload, "a");
        assert_eq!(positions(&*backend, &own, From::After(2)).await, [3]);
        assert_eq!(positions(&*backend, &own, From::End).await, [0_u64; 0]);
        assert_eq!(positions(&*backend, &own, From::Since(appended[0].timestamp_ms)).await, [1, 2, 3]);
        assert_eq!(positions(&*backend, &own, From::Since(u64::MAX)).await, [0_u64; 0]);
        for other in [topic("two", "t"), topic("one", "u")] {
            assert_eq!(positions(&*backend, &other, From::Start).await, [0_u64; 0]);
        }
        assert_eq!(backend.topics(&"two".parse().unwrap()).await.unwrap(), []);
        let topics = backend.topics(own.namespace()).await.unwrap();
        assert_eq!(topics, [TopicInfo { topic: "t".into(), events: 3, last: 3, lost: 0 }]);
    });
}

#[test]
fn limits_are_errors() {
    on_each(|backend, _| async move {
        let own = topic("one", "t");
        for name in ["", "a b", "a/b", "é", "a..b", ".dead", &"t".repeat(257)] {
            assert!(matches!(TopicKey::named(own.namespace(), name), Err(Error::Topic)), "{name:?}");
        }
        assert!(TopicKey::named(own.namespace(), &"t".repeat(256)).is_ok());
        for name in ["~x", &"g".repeat(129)] {
            assert!(matches!(GroupKey::named(own.clone(), name), Err(Error::Group)), "{name:?}");
        }
        let dead = backend.append(&own.dead().unwrap(), vec![new("")]).await;
        assert!(matches!(dead, Err(Error::Reserved)), "{dead:?}");
        assert_eq!(take(&*backend, &group("g"), Lease::default()).await, []);
        assert_eq!(backend.topics(own.namespace()).await.unwrap(), [], "to ask makes no topic");
        let one = |event| backend.append(&own, vec![event]);
        assert!(matches!(one(new(vec![0; PAYLOAD_BYTES_MAX + 1])).await, Err(Error::Payload)));
        let many = (0..=METADATA_ENTRIES_MAX).map(|key| (key.to_string(), String::new())).collect();
        assert!(matches!(one(New { metadata: many, ..new("") }).await, Err(Error::Metadata)));
        let long = BTreeMap::from([(String::new(), "v".repeat(METADATA_BYTES_MAX + 1))]);
        assert!(matches!(one(New { metadata: long, ..new("") }).await, Err(Error::Metadata)));
        let many = (0..=APPEND_EVENTS_MAX).map(|_| new("")).collect();
        assert!(matches!(backend.append(&own, many).await, Err(Error::Batch)));
        let large = (0..5).map(|_| new(vec![0; PAYLOAD_BYTES_MAX])).collect();
        assert!(matches!(backend.append(&own, large).await, Err(Error::Batch)));
        let wait = backend.next(&group("g"), Lease { ack_wait_ms: 0, ..Lease::default() }).await;
        assert_eq!(wait.unwrap_err().to_string(), "invalid AckWait passed, should be positive integer");
        for _ in 0..5 {
            one(new(vec![0; PAYLOAD_BYTES_MAX])).await.unwrap();
        }
        assert_eq!(positions(&*backend, &own, From::Start).await.len(), 4, "a page is bounded in bytes");
    });
}

#[test]
fn a_group_takes_each_event_once_and_one_at_a_time() {
    on_each(|backend, _| async move {
        let events: Vec<_> = (0..3).map(|_| new("e")).collect();
        backend.append(&topic("one", "t"), events.clone()).await.unwrap();
        let lease = Lease { max: 10, ..Lease::default() };
        for name in ["g", "h", ""] {
            let group = group(name);
            for (number, event) in (1..).zip(&events) {
                assert_eq!(take(&*backend, &group, lease).await, [(number, 1)]);
                assert_eq!(take(&*backend, &group, lease).await, [], "it is in flight");
                assert_eq!(backend.ack(&group, &[event.id]).await.unwrap(), 1);
                assert_eq!(backend.ack(&group, &[event.id]).await.unwrap(), 0);
            }
            assert_eq!(take(&*backend, &group, lease).await, []);
        }
        assert_eq!(take(&*backend, &group("end"), Lease { start: From::End, ..lease }).await, []);
        assert_eq!(take(&*backend, &group("two"), Lease { start: From::After(2), ..lease }).await, [(3, 1)]);
        let groups = backend.groups(&topic("one", "t")).await.unwrap();
        let end = GroupInfo { group: "end".into(), cursor: 3, pending: 0, behind: 0 };
        assert!(groups.contains(&end), "{groups:?}");
    });
}

#[test]
fn what_is_acknowledged_together_is_done_and_nothing_else() {
    on_each(|backend, _| async move {
        let events: Vec<_> = (0..4).map(|_| new("e")).collect();
        backend.append(&topic("one", "t"), events.clone()).await.unwrap();
        backend.append(&topic("two", "t"), events.clone()).await.unwrap();
        let lease = Lease { max: 10, in_flight: 10, ..Lease::default() };
        let groups = [group("g"), group("h"), GroupKey::named(topic("two", "t"), "g").unwrap()];
        for group in &groups {
            assert_eq!(take(&*backend, group, lease).await.len(), 4);
        }
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|at: usize| events[at].id);
        let some = [third, Uuid::new_v4(), first, third];
        assert_eq!(backend.ack(&groups[0], &some).await.unwrap(), 2, "the others were not pending");
        assert_eq!(backend.ack(&groups[0], &some).await.unwrap(), 0);
        assert_eq!(backend.ack(&groups[0], &[]).await.unwrap(), 0);
        let pending = async |group: &GroupKey| {
            let infos = backend.groups(group.topic()).await.unwrap();
            infos.iter().find(|info| info.group == group.group()).unwrap().pending
        };
        assert_eq!(
            [pending(&groups[0]).await, pending(&groups[1]).await, pending(&groups[2]).await],
            [2, 4, 4]
        );
        let nack = Nack { attempt: 1, delay_ms: 0, reason: "no".to_owned(), then: Then::Again };
        assert!(!backend.nack(&groups[0], first, nack.clone()).await.unwrap(), "it is done");
        for left in [fourth, second] {
            assert!(backend.nack(&groups[0], left, nack.clone()).await.unwrap());
        }
        assert_eq!(take(&*backend, &groups[0], lease).await, [(2, 2), (4, 2)]);
    });
}

#[test]
fn what_is_refused_or_silent_comes_again_and_then_dies() {
    on_each(|backend, _| async move {
        let (own, group, event) = (topic("one", "t"), group("g"), new("e"));
        backend.append(&own, vec![event.clone()]).await.unwrap();
        let lease = Lease { ack_wait_ms: 60_000, retries: Some(1), ..Lease::default() };
        assert_eq!(take(&*backend, &group, Lease { ack_wait_ms: 1, ..lease }).await, [(1, 1)]);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(take(&*backend, &group, lease).await, [(1, 2)], "silence");
        let nack = |attempt| Nack { attempt, delay_ms: 0, reason: "no".to_owned(), then: Then::Again };
        assert!(!backend.nack(&group, event.id, nack(1)).await.unwrap(), "that one is over");
        assert!(backend.nack(&group, event.id, nack(2)).await.unwrap());
        assert_eq!(take(&*backend, &group, lease).await, []);
        let dead = backend.read(&own.dead().unwrap(), From::Start, 10).await.unwrap().events;
        let said = |key: &str| dead[0].metadata[key].clone();
        assert_eq!(
            (dead.len(), said("Micro-Dead-Group"), said("Micro-Dead-Attempts")),
            (1, "g".into(), "2".into())
        );
        assert_eq!((said("Micro-Dead-Id"), said("Micro-Dead-Reason")), (event.id.to_string(), "no".into()));

        let event = new("f");
        backend.append(&own, vec![event.clone()]).await.unwrap();
        assert_eq!(take(&*backend, &group, lease).await, [(2, 1)]);
        assert!(backend.nack(&group, event.id, Nack { then: Then::Dead, ..nack(1) }).await.unwrap());
        assert_eq!(take(&*backend, &group, lease).await, [], "it was given up");
        let (event, lease) = (new("g"), Lease { retries: Some(0), ..lease });
        backend.append(&own, vec![event.clone()]).await.unwrap();
        assert_eq!(take(&*backend, &group, lease).await, [(3, 1)]);
        assert!(backend.nack(&group, event.id, Nack { then: Then::Unheard, ..nack(1) }).await.unwrap());
        assert_eq!(take(&*backend, &group, lease).await, [(3, 1)], "nobody had it");
        assert_eq!(positions(&*backend, &own.dead().unwrap(), From::Start).await, [1, 2]);
    });
}

#[test]
fn retention_beats_a_group_that_is_behind_and_counts_it() {
    on_each(|backend, plans| async move {
        let own = topic("one", "t");
        let keep = |retention| plans.limit(HashMap::from([(own.namespace().clone(), retention)]));
        backend.append(&own, vec![new("")]).await.unwrap();
        assert_eq!(take(&*backend, &group("g"), Lease::default()).await, [(1, 1)]);
        keep(Retention { bytes: 1_000, ..Retention::default() });
        for _ in 0..9 {
            backend.append(&own, vec![new(vec![0; 272])]).await.unwrap();
        }
        assert_eq!(positions(&*backend, &own, From::Start).await, [9, 10]);
        assert_eq!(backend.topics(own.namespace()).await.unwrap()[0].lost, 8);
        let lease = Lease { max: 9, in_flight: 9, ..Lease::default() };
        assert_eq!(take(&*backend, &group("g"), lease).await, [(9, 1), (10, 1)]);
        keep(Retention { age_ms: 1, ..Retention::default() });
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while backend.topics(own.namespace()).await.unwrap()[0].events > 0 {
            assert!(tokio::time::Instant::now() < deadline, "nothing was swept");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        keep(Retention::default());
        assert_eq!(backend.append(&own, vec![new("")]).await.unwrap()[0].position, 11);
    });
}

#[test]
fn what_is_held_grows_by_what_is_appended_and_shrinks_by_what_goes() {
    on_each(|backend, plans| async move {
        let (own, other) = (topic("one", "t"), topic("one", "u"));
        let keep = |bytes| {
            let retention = Retention { bytes, ..Retention::default() };
            plans.limit(HashMap::from([(own.namespace().clone(), retention)]));
        };
        let held = async || backend.held(own.namespace()).await.unwrap();
        assert_eq!(held().await, 0);
        let first = New { metadata: BTreeMap::from([("k".into(), "v".into())]), ..new("abc") };
        backend.append(&own, vec![first.clone()]).await.unwrap();
        assert_eq!(held().await, 133);
        backend.append(&own, vec![first.clone()]).await.unwrap();
        assert_eq!(held().await, 133, "the same again is nothing more");
        backend.append(&other, vec![new([0; 72])]).await.unwrap();
        assert_eq!(held().await, 333, "of all topics");
        assert_eq!(take(&*backend, &group("g"), Lease::default()).await, [(1, 1)]);
        assert_eq!(backend.ack(&group("g"), &[first.id]).await.unwrap(), 1);
        assert_eq!(held().await, 333, "what was acknowledged is kept");
        assert_eq!(backend.held(&"two".parse().unwrap()).await.unwrap(), 0);

        keep(400);
        backend.append(&own, vec![new([0; 72])]).await.unwrap();
        assert_eq!(held().await, 400, "the oldest is gone");
        keep(0);
        // Not by `eventually`: the compiler does not see that an `AsyncFn` may go to another thread.
        let until = Instant::now() + PATIENCE;
        while held().await > 0 {
            assert!(Instant::now() < until, "the sweep leaves nothing");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn a_tail_has_no_gap_and_no_duplicate_with_8_writers() {
    on_each(|backend, _| async move {
        let own = topic("one", "t");
        let writers = (0..8).map(|_| {
            let (backend, own) = (Arc::clone(&backend), own.clone());
            tokio::spawn(async move {
                for _ in 0..25 {
                    backend.append(&own, vec![new("e")]).await.unwrap();
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        let mut tail = Tail::new(Arc::clone(&backend), own, From::Start);
        let mut seen = Vec::new();
        while seen.len() < 200 {
            let events = tokio::time::timeout(Duration::from_secs(20), tail.next()).await.unwrap().unwrap();
            seen.extend(events.iter().map(|event| event.position));
        }
        assert_eq!(seen, (1..=200).collect::<Vec<_>>());
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

#[tokio::test]
async fn a_file_is_kept_over_a_restart_and_reading_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig { open_files_max: 1, ..SqliteConfig::new(folder.path().to_owned()) };
    let backend = Sqlite::open(&config).unwrap();
    assert!(backend.topics(&"nobody".parse().unwrap()).await.unwrap().is_empty());
    assert!(!folder.path().join("nobody.db").exists());
    for namespace in ["one", "two", "three"] {
        backend.append(&topic(namespace, "t"), vec![new("e")]).await.unwrap();
    }
    take(&*backend, &group("g"), Lease::default()).await;
    drop(backend);
    let backend = Sqlite::open(&config).unwrap();
    assert_eq!(take(&*backend, &group("g"), Lease::default()).await, [], "it is still in flight");
    assert_eq!(positions(&*backend, &topic("three", "t"), From::Start).await, [1]);
}
