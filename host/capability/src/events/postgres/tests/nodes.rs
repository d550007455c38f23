//! Several nodes, each with connections of its own, on one log.

use std::collections::HashMap;

use tokio_util::task::TaskTracker;

use super::*;
use crate::Scope;
use crate::broker::{Source as _, Target};
use crate::events::consume::{OfGroup, POLL};
use crate::events::{Consumer, Retention, Tail};

/// Several nodes on one schema; none without a server.
async fn nodes(count: usize, config: &PostgresConfig) -> Vec<Arc<Postgres>> {
    let opened = futures::future::join_all((0..count).map(|_| Postgres::open(config))).await;
    opened.into_iter().map(Result::unwrap).collect()
}

/// Whether the node gave a sign of life; it does so once it listens.
async fn listens(node: &Postgres) -> bool {
    expires_ms(node).await.is_some()
}

async fn expires_ms(node: &Postgres) -> Option<i64> {
    let sql = "SELECT expires_ms FROM nodes WHERE id = $1";
    let found = sqlx::query_as::<_, (i64,)>(sql).bind(node.node.as_bytes().as_slice());
    found.fetch_optional(&node.server.pool).await.unwrap().map(|(expires,)| expires)
}

fn consumer(start: From) -> Consumer {
    let target = Target {
        scope: Scope {
            namespace: topic().namespace().clone(),
            service: "counter".parse().unwrap(),
            version: "latest".to_owned(),
        },
        endpoint: "Counter.Fold".to_owned(),
        concurrency: 1,
        retries: 3,
        ack_wait: Duration::from_secs(60),
        delay: Duration::from_secs(1),
    };
    Consumer { deployment: "d".to_owned(), group: group("g"), start, target }
}

/// Each event waits a random time before it is committed, where another could overtake it.
const DAWDLE: &str = "
    CREATE FUNCTION dawdle() RETURNS TRIGGER LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(random() * 0.01); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION dawdle();";

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_misses_nothing_of_8_writers_that_commit_late() {
    let Some(config) = config() else { return };
    let config = PostgresConfig { connections_max: 2, ..config };
    let mut all = nodes(9, &config).await;
    run(&mut beside(&config).await, DAWDLE).await;
    let reader: Arc<dyn Backend> = all.pop().unwrap();
    let writers = all.into_iter().enumerate().map(|(writer, node)| {
        tokio::spawn(async move {
            for number in 0..25 {
                let events = vec![new(&format!("{writer} {number} 0")), new(&format!("{writer} {number} 1"))];
                let first = node.append(&topic(), events.clone()).await.unwrap();
                // As a caller does whose answer was lost.
                assert_eq!(node.append(&topic(), events).await.unwrap(), first);
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut tail = Tail::new(reader, topic(), From::Start);
    let mut seen = Vec::new();
    while seen.len() < 400 {
        seen.extend(tokio::time::timeout(PATIENCE, tail.next()).await.unwrap().unwrap());
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let positions: Vec<_> = seen.iter().map(|event| event.position).collect();
    assert_eq!(positions, (1..=400).collect::<Vec<_>>());
    assert!(seen.is_sorted_by_key(|event| event.timestamp_ms));
    let mut of_writer: HashMap<u32, Vec<(u32, u32)>> = HashMap::new();
    for event in &seen {
        let text = String::from_utf8(event.payload.to_vec()).unwrap();
        let parts: Vec<u32> = text.split(' ').map(|part| part.parse().unwrap()).collect();
        let [writer, number, which] = parts[..] else { panic!("{text}") };
        of_writer.entry(writer).or_default().push((number, which));
    }
    let each: Vec<_> = (0..25).flat_map(|number| [(number, 0), (number, 1)]).collect();
    assert!(of_writer.len() == 8 && of_writer.values().all(|own| *own == each), "{of_writer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_takes_each_event_once_on_whichever_node() {
    let Some(config) = config() else { return };
    let all = nodes(4, &config).await;
    for _ in 0..4 {
        all[0].append(&topic(), (0..50).map(|_| new("e")).collect()).await.unwrap();
    }
    let takers = all.iter().map(|node| {
        let node = Arc::clone(node);
        tokio::spawn(async move {
            let (own, wide) = (group("g"), Lease { max: 3, in_flight: 9, ..lease() });
            let mut mine = Vec::new();
            loop {
                let taken = node.next(&own, wide).await.unwrap();
                if taken.is_empty() && node.groups(&topic()).await.unwrap()[0].behind == 0 {
                    return mine;
                }
                for delivery in &taken {
                    assert_eq!(node.ack(&own, &[delivery.event.id]).await.unwrap(), 1);
                }
                mine.extend(numbers(&taken));
            }
        })
    });
    let mut taken = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        taken.extend(taker.await.unwrap());
    }
    taken.sort_unstable();
    assert_eq!(taken, (1..=200).map(|position| (position, 1)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_had_that_died_is_handed_over_whatever_its_ack_wait_is() {
    let Some(config) = config() else { return };
    let usual = config.node_lease + POLL;
    assert!(usual < Duration::from_secs(10), "within 10 s");
    let config = PostgresConfig { node_lease: Duration::from_secs(3), ..config };
    let mut all = nodes(2, &config).await;
    let (second, first) = (all.pop().unwrap(), all.pop().unwrap());
    first.append(&topic(), vec![new("a"), new("b")]).await.unwrap();
    let once = Lease { retries: Some(0), ..lease() };
    let taken = first.next(&group("g"), lease()).await.unwrap();
    assert_eq!(numbers(&taken), [(1, 1)]);
    assert_eq!(numbers(&first.next(&group("once"), once).await.unwrap()), [(1, 1)]);
    let before = expires_ms(&first).await.unwrap();
    // Who lives keeps what it has, longer than one lease.
    eventually("it gives signs of life", async || {
        assert!(second.next(&group("g"), lease()).await.unwrap().is_empty());
        expires_ms(&first).await.unwrap() > before + 3_000
    })
    .await;

    let node = first.node;
    drop(first);
    let source = OfGroup::new(second.clone(), &consumer(From::Start), TaskTracker::new());
    let (since, long) = (Instant::now(), Duration::from_secs(600));
    let handed = source.claim(1, long, long).await.unwrap();
    assert_eq!(handed[0].token, (taken[0].event.id, 2), "it counts as a try");
    assert!(since.elapsed() < long, "not only at the end of the wait");
    let late = Nack { attempt: 1, delay_ms: 0, reason: String::new(), then: Then::Again };
    assert!(!second.nack(&group("g"), taken[0].event.id, late).await.unwrap(), "that one is over");
    // No try was left to it there.
    assert_eq!(numbers(&second.next(&group("once"), once).await.unwrap()), [(2, 1)]);
    let dead = second.read(&topic().dead().unwrap(), From::Start, 9).await.unwrap().events;
    assert_eq!(dead[0].metadata["Micro-Dead-Reason"], "the server that had it is gone");
    assert_eq!(dead[0].metadata["Micro-Dead-Attempts"], "1");

    let age = "UPDATE nodes SET expires_ms = expires_ms - 3600000 WHERE id = $1";
    sqlx::query(age).bind(node.as_bytes().as_slice()).execute(&second.server.pool).await.unwrap();
    second.keeper.sweep().await.unwrap();
    let mut beside = beside(&config).await;
    assert_eq!(
        count(&mut beside, "SELECT COUNT(*) FROM nodes").await,
        1,
        "its row goes, and that of the living stays"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_rings_on_other_nodes_and_a_new_connection_rings_all() {
    let Some((line, far, config)) = at_the_end_of_a_line(|_| ()).await else { return };
    let near = Postgres::open(&config).await.unwrap();
    eventually("it listens", async || listens(&far).await).await;
    let mut bell = far.bell(&topic());
    for _ in 0..3 {
        bell.borrow_and_update();
        near.append(&topic(), vec![new("e")]).await.unwrap();
        tokio::time::timeout(PATIENCE, bell.changed()).await.expect("it hears of the event").unwrap();
        bell.borrow_and_update();
        line.cut();
        tokio::time::timeout(PATIENCE, bell.changed())
            .await
            .expect("something may have been missed")
            .unwrap();
    }
}

/// The server's clock says when, and it is an hour off this one.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_of_nodes_do_not_matter() {
    for shift in [3_600_000_i64, -3_600_000] {
        let Some(config) = config() else { return };
        let log = Postgres::open(&config).await.unwrap();
        let shifted = format!(
            "CREATE OR REPLACE FUNCTION now_ms() RETURNS BIGINT LANGUAGE SQL VOLATILE AS
             'SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT + {shift}'"
        );
        run(&mut beside(&config).await, &shifted).await;
        let keep = Retention { age_ms: 600_000, ..Retention::default() };
        config.plans.limit(HashMap::from([(topic().namespace().clone(), keep)]));
        // From the end, before the topic is there.
        let source = OfGroup::new(log.clone(), &consumer(From::End), TaskTracker::new());
        let soon = Duration::ZERO;
        let minute = Duration::from_secs(60);
        assert!(source.claim(1, minute, soon).await.unwrap().is_empty());
        let event = new("e");
        let appended = log.append(&topic(), vec![event.clone()]).await.unwrap();
        assert_eq!(source.claim(1, minute, soon).await.unwrap()[0].token, (event.id, 1));
        // It is in flight for a minute, and neither too old nor lost.
        assert!(source.claim(1, minute, soon).await.unwrap().is_empty());
        log.keeper.sweep().await.unwrap();
        assert_eq!(
            log.read(&topic(), From::Since(appended[0].timestamp_ms), 9).await.unwrap().events.len(),
            1
        );
        let short = Lease { ack_wait_ms: 1, ..lease() };
        assert_eq!(numbers(&log.next(&group("short"), short).await.unwrap()), [(1, 1)]);
        eventually("its lease runs out", async || {
            let again = log.next(&group("short"), short).await.unwrap();
            again.first().is_some_and(|again| again.attempt > 1)
        })
        .await;
    }
}

/// Everything at once, with a retention that removes all the time: nobody waits in a ring, and the sums are right.
#[tokio::test(flavor = "multi_thread")]
async fn appends_groups_and_retention_go_together() {
    let Some(config) = config() else { return };
    let keep = Retention { bytes: 6_000, ..Retention::default() };
    config.plans.limit(HashMap::from([(topic().namespace().clone(), keep)]));
    let all = nodes(3, &config).await;
    let named = |name: &str| TopicKey::named(topic().namespace(), name).unwrap();
    let topics = ["t", "t-x", "u"].map(named);
    let tasks = (0..12).map(|task: usize| {
        let (node, own) = (Arc::clone(&all[task % 3]), topics[task / 3 % 3].clone());
        tokio::spawn(async move {
            let lease = Lease {
                max: 4,
                in_flight: 8,
                retries: Some(1),
                ack_wait_ms: 1 + 50 * task as u64,
                ..lease()
            };
            let group = GroupKey::named(own.clone(), if task.is_multiple_of(2) { "g" } else { "" }).unwrap();
            for round in 0..40 {
                node.append(&own, (0..3).map(|_| new("some payload")).collect()).await.unwrap();
                let mut taken = node.next(&group, lease).await.unwrap();
                if round % 4 < 2 {
                    // In another order than they were taken in.
                    let ids: Vec<_> = taken.drain(..).rev().map(|delivery| delivery.event.id).collect();
                    node.ack(&group, &ids).await.unwrap();
                }
                for delivery in taken {
                    let then = [Then::Again, Then::Dead, Then::Unheard][round % 3];
                    let nack = Nack { attempt: delivery.attempt, delay_ms: 0, reason: "no".to_owned(), then };
                    node.nack(&group, delivery.event.id, nack).await.unwrap();
                }
                if round % 10 == 9 {
                    node.keeper.sweep().await.unwrap();
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    all[0].keeper.sweep().await.unwrap();
    let mut beside = beside(&config).await;
    let wrong = "SELECT COUNT(*) FROM topics t WHERE (t.bytes, t.last - t.gone) <> (
        SELECT COALESCE(SUM(e.bytes), 0), COUNT(*) FROM events e WHERE e.namespace = t.namespace AND e.topic = t.topic)";
    assert_eq!(count(&mut beside, wrong).await, 0, "what a topic holds is what is said of it");
    let wrong = "SELECT COUNT(*) FROM events WHERE bytes <> octet_length(payload) + 128 + COALESCE((
        SELECT SUM(octet_length(m.key) + octet_length(m.value)) FROM json_each_text(metadata::JSON) m), 0)";
    assert_eq!(count(&mut beside, wrong).await, 0, "an event has the size that is said of it");
    let orphans = "SELECT COUNT(*) FROM pending p WHERE NOT EXISTS (
        SELECT 1 FROM events e WHERE (e.namespace, e.topic, e.position) = (p.namespace, p.topic, p.position))";
    assert_eq!(count(&mut beside, orphans).await, 0, "nothing waits for an event that is gone");
    assert!(count(&mut beside, "SELECT SUM(bytes)::BIGINT FROM topics").await <= 6_000);
    assert_eq!(count(&mut beside, "SELECT topics FROM namespaces").await, 6, "three, and those of the dead");
    assert!(count(&mut beside, "SELECT SUM(lost)::BIGINT FROM topics").await > 0);
}
