//! What goes wrong between the log and its server, with a real one behind a connection that can be cut and stalled.

mod killed;
mod nodes;

use std::collections::BTreeMap;
use std::time::Instant;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgPool};
use tokio::net::TcpListener;

use super::*;
use crate::line::Line;
use crate::tests::{PATIENCE, eventually};

const HOUR_MS: u64 = 3_600_000;

/// A config with a schema of its own; none without a server.
fn config() -> Option<PostgresConfig> {
    let url = std::env::var("MICRO_TEST_POSTGRES").ok()?;
    let schema = format!("events_{}", Uuid::new_v4().simple());
    Some(PostgresConfig { schema, connections_max: 4, ..PostgresConfig::new(url) })
}

/// A log of its own schema at the end of a line, and its config without the line; none without a server.
async fn at_the_end_of_a_line(
    adjust: impl FnOnce(&mut PostgresConfig),
) -> Option<(Line, Arc<Postgres>, PostgresConfig)> {
    let mut direct = config()?;
    adjust(&mut direct);
    let (line, url) = Line::to_postgres(&direct.url).await;
    let log = Postgres::open(&PostgresConfig { url, ..direct.clone() }).await.unwrap();
    Some((line, log, direct))
}

/// Past the line, in the log's schema.
async fn beside(config: &PostgresConfig) -> PgConnection {
    let mut connection = PgConnection::connect(&config.url).await.unwrap();
    run(&mut connection, &format!("SET search_path = {}", config.schema)).await;
    connection
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

async fn count(connection: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_as::<_, (i64,)>(sql).fetch_one(connection).await.unwrap().0
}

/// Until somebody waits for what this connection has locked.
async fn somebody_waits(connection: &mut PgConnection) {
    // `pg_stat_activity` would stay as a transaction first saw it, without whoever connects later.
    let sql =
        "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";
    let until = Instant::now() + PATIENCE;
    while count(connection, sql).await == 0 {
        assert!(Instant::now() < until, "nobody waits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn topic_of(namespace: &str) -> TopicKey {
    TopicKey::named(&namespace.parse().unwrap(), "t").unwrap()
}

fn topic() -> TopicKey {
    topic_of("default")
}

fn group(name: &str) -> GroupKey {
    GroupKey::named(topic(), name).unwrap()
}

fn new(payload: &str) -> New {
    New { id: Uuid::new_v4(), metadata: BTreeMap::new(), payload: payload.to_owned().into() }
}

fn lease() -> Lease {
    Lease { ack_wait_ms: HOUR_MS, ..Lease::default() }
}

fn numbers(taken: &[Delivery]) -> Vec<(u64, u32)> {
    taken.iter().map(|delivery| (delivery.event.position, delivery.attempt)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_costs_no_call() {
    let Some((line, log, _)) = at_the_end_of_a_line(|_| ()).await else { return };
    let event = new("e");
    log.append(&topic(), vec![event.clone()]).await.unwrap();
    line.cut();
    assert_eq!(log.append(&topic(), vec![event.clone(), new("f")]).await.unwrap()[1].position, 2);
    line.cut();
    assert_eq!(log.read(&topic(), From::Start, 9).await.unwrap().events.len(), 2);
    line.cut();
    assert_eq!(numbers(&log.next(&group("g"), lease()).await.unwrap()), [(1, 1)]);
    line.cut();
    assert_eq!(log.ack(&group("g"), &[event.id]).await.unwrap(), 1);
    line.cut();
    assert_eq!(log.groups(&topic()).await.unwrap()[0].pending, 0);
}

/// The server does what it is asked, and the answer is lost on the way.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_answer_was_lost_is_not_made_twice() {
    let Some((line, log, config)) = at_the_end_of_a_line(|config| config.call_timeout = PATIENCE).await
    else {
        return;
    };
    log.append(&topic(), vec![new("first")]).await.unwrap();
    let mut blocker = beside(&config).await;
    run(&mut blocker, "BEGIN; SELECT 1 FROM topics FOR UPDATE").await;
    let event = new("second");
    let appending = {
        let (log, event) = (Arc::clone(&log), event.clone());
        tokio::spawn(async move { log.append(&topic(), vec![event]).await })
    };
    somebody_waits(&mut blocker).await;
    line.stall(true);
    run(&mut blocker, "COMMIT").await;
    let until = Instant::now() + PATIENCE;
    while count(&mut blocker, "SELECT COUNT(*) FROM events").await < 2 {
        assert!(Instant::now() < until, "it was not done");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!appending.is_finished());
    line.cut();
    line.stall(false);
    // Tried again within; or, if the machine was slow, by who called.
    let appended = match appending.await.unwrap() {
        Ok(appended) => appended,
        Err(_) => log.append(&topic(), vec![event.clone()]).await.unwrap(),
    };
    assert_eq!((appended[0].id, appended[0].position), (event.id, 2));
    assert_eq!(log.append(&topic(), vec![event, new("third")]).await.unwrap()[1].position, 3);
    assert_eq!(log.topics(topic().namespace()).await.unwrap()[0].events, 3);
}

/// Else those events would be nobody's until their lease ran out.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_by_a_call_whose_answer_was_lost_is_given_to_its_next_try() {
    let Some((line, log, config)) = at_the_end_of_a_line(|config| config.call_timeout = PATIENCE).await
    else {
        return;
    };
    log.append(&topic(), vec![new("a"), new("b"), new("c")]).await.unwrap();
    let mut blocker = beside(&config).await;
    // A call is tried again only for some seconds; on a slow machine that may be over.
    for name in ["g1", "g2", "g3", "g4", "g5"] {
        let own = group(name);
        assert!(log.next(&own, Lease { max: 0, ..lease() }).await.unwrap().is_empty());
        run(&mut blocker, "BEGIN; SELECT 1 FROM groups FOR UPDATE").await;
        let taking = {
            let (log, own) = (Arc::clone(&log), own.clone());
            tokio::spawn(async move { log.next(&own, Lease { max: 2, in_flight: 2, ..lease() }).await })
        };
        somebody_waits(&mut blocker).await;
        line.stall(true);
        run(&mut blocker, "COMMIT").await;
        let until = Instant::now() + PATIENCE;
        let taken =
            "SELECT COUNT(*) FROM pending p JOIN (SELECT MAX(name) AS name FROM groups) g ON g.name = p.name";
        while count(&mut blocker, taken).await < 2 {
            assert!(Instant::now() < until, "it was not done");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        line.cut();
        line.stall(false);
        let Ok(taken) = taking.await.unwrap() else { continue };
        assert_eq!(numbers(&taken), [(1, 1), (2, 1)]);
        assert_eq!(log.groups(&topic()).await.unwrap().last().map(|group| group.cursor), Some(2));
        let more = log.next(&own, Lease { max: 9, in_flight: 9, ..lease() }).await.unwrap();
        assert_eq!(numbers(&more), [(3, 1)], "each was given once");
        return;
    }
    panic!("no call was tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_told_in_time_and_all_goes_on_after_it() {
    let adjust = |config: &mut PostgresConfig| config.call_timeout = Duration::from_millis(700);
    let Some((line, log, _)) = at_the_end_of_a_line(adjust).await else { return };
    log.append(&topic(), vec![new("kept")]).await.unwrap();
    line.stall(true);
    let silent = log.append(&topic(), vec![new("more")]).await.unwrap_err();
    assert!(silent.to_string().contains("no answer within"), "{silent}");
    assert!(log.check().await.is_err(), "the node says that its events are away");
    assert!(log.next(&group("g"), lease()).await.is_err());
    assert!(log.keeper.sweep().await.is_err(), "a sweep does not wait for ever");
    assert_eq!(micro_api::Error::from(silent).code, 503);
    line.stall(false);
    eventually("it recovers", async || log.check().await.is_ok()).await;
    let kept = log.read(&topic(), From::Start, 9).await.unwrap().events;
    assert_eq!(kept[0].payload, "kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named_at_the_start_and_later() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nowhere = PostgresConfig::new(format!("postgres://micro:secret@{nobody}/micro"));
    let refused = Postgres::open(&nowhere).await.unwrap_err().to_string();
    assert!(refused.starts_with("events backend: ") && !refused.contains("secret"), "{refused}");
    assert!(!format!("{nowhere:?}").contains("secret"));
    let adjust = |config: &mut PostgresConfig| config.acquire_timeout = Duration::from_millis(200);
    let Some((line, log, _)) = at_the_end_of_a_line(adjust).await else { return };
    log.append(&topic(), vec![new("e")]).await.unwrap();
    line.close().await;
    let gone = log.read(&topic(), From::Start, 9).await.unwrap_err();
    assert!(matches!(gone, Error::Backend(_)), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_connection_is_told_so() {
    let adjust = |config: &mut PostgresConfig| {
        config.connections_max = 1;
        config.acquire_timeout = Duration::from_millis(200);
        config.call_timeout = Duration::from_secs(2);
    };
    let Some((line, log, _)) = at_the_end_of_a_line(adjust).await else { return };
    let (own, other) = (topic(), topic_of("other"));
    log.append(&own, vec![new("e")]).await.unwrap();
    line.stall(true);
    let read = |topic| log.read(topic, From::Start, 9);
    let (one, two, three) = tokio::join!(read(&own), read(&own), read(&other));
    let errors = [one.unwrap_err(), two.unwrap_err(), three.unwrap_err()];
    let busy = errors.iter().filter(|error| matches!(error, Error::Busy)).count();
    assert!(busy >= 2, "{errors:?}");
    line.stall(false);
}

/// Whoever holds a topic of one namespace up holds up that namespace alone.
#[tokio::test(flavor = "multi_thread")]
async fn one_namespace_does_not_take_all_connections() {
    let Some(config) = config() else { return };
    let log = Postgres::open(&config).await.unwrap();
    log.append(&topic(), vec![new("e")]).await.unwrap();
    let mut blocker = beside(&config).await;
    run(&mut blocker, "BEGIN; SELECT 1 FROM topics FOR UPDATE").await;
    let stuck = (0..8).map(|_| {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.append(&topic(), vec![new("f")]).await })
    });
    let stuck: Vec<_> = stuck.collect();
    somebody_waits(&mut blocker).await;
    for _ in 0..8 {
        log.append(&topic_of("other"), vec![new("e")]).await.unwrap();
    }
    run(&mut blocker, "COMMIT").await;
    for stuck in stuck {
        // Those that waited too long for their turn were told so.
        let done = stuck.await.unwrap();
        assert!(matches!(done, Ok(_) | Err(Error::Busy)), "{done:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_made_once_and_a_newer_one_refused() {
    let Some(config) = config() else { return };
    let all = futures::future::join_all((0..4).map(|_| Postgres::open(&config))).await;
    assert!(all.iter().all(Result::is_ok));
    let mut beside = beside(&config).await;
    run(&mut beside, "UPDATE version SET version = 99").await;
    let refused = Postgres::open(&config).await.unwrap_err().to_string();
    assert!(refused.contains("has version 99, newer than this program's 1"), "{refused}");
    for name in ["", "9a", "A", "a-b", "a;b", &"a".repeat(64)] {
        let config = PostgresConfig { schema: name.to_owned(), ..config.clone() };
        let refused = Postgres::open(&config).await.unwrap_err().to_string();
        assert!(refused.contains("no name for a schema"), "{name}");
    }
}

/// A role that makes no tables is enough, once they are there.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_only_reads_and_writes_is_enough() {
    let Some(config) = config() else { return };
    drop(Postgres::open(&config).await.unwrap());
    let (schema, mut beside) = (config.schema.clone(), beside(&config).await);
    let role = format!("r_{schema}");
    let grant = format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};"
    );
    run(&mut beside, &grant).await;
    let (_, rest) = config.url.split_once('@').unwrap();
    let config = PostgresConfig { url: format!("postgres://{role}@{rest}"), ..config };
    let limited = Postgres::open(&config).await.unwrap();
    let event = new("e");
    limited.append(&topic(), vec![event.clone(), new("f")]).await.unwrap();
    let both = Lease { max: 2, in_flight: 2, ..lease() };
    assert_eq!(numbers(&limited.next(&group("g"), both).await.unwrap()), [(1, 1), (2, 1)]);
    assert_eq!(limited.ack(&group("g"), &[event.id]).await.unwrap(), 1);
    let other = limited.read(&topic(), From::After(1), 1).await.unwrap().events[0].id;
    let nack = Nack { attempt: 1, delay_ms: 0, reason: "no".to_owned(), then: Then::Dead };
    assert!(limited.nack(&group("g"), other, nack).await.unwrap());
    assert_eq!(limited.read(&topic().dead().unwrap(), From::Start, 9).await.unwrap().events.len(), 1);
    limited.keeper.trim(topic().namespace(), 1).await.unwrap();
    limited.keeper.sweep().await.unwrap();
    eventually("it lives and listens", async || {
        let nodes = sqlx::query_as::<_, (i64,)>("SELECT COUNT(*) FROM nodes WHERE id = $1");
        let nodes = nodes.bind(limited.node.as_bytes().as_slice());
        nodes.fetch_one(&limited.server.pool).await.unwrap().0 == 1
    })
    .await;
    let pool: PgPool = limited.server.pool.clone();
    drop(limited);
    pool.close().await;
    run(&mut beside, &format!("DROP OWNED BY {role}; DROP ROLE {role}; DROP SCHEMA {schema} CASCADE")).await;
}
