//! What goes wrong between the locks and their server, with a real one behind a connection that can be cut and stalled.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::super::contract::{claim, key};
use super::super::faults;
use super::*;
use crate::killed::noise;
use crate::line::Line;
use crate::postgres::server::Server as Process;
use crate::tests::{PATIENCE, eventually};

const LONG: Duration = Duration::from_secs(60);

/// Locks of a schema of their own at the end of a line; none without a server.
async fn at_the_end_of_a_line(call_timeout: Duration) -> Option<(Line, Arc<Postgres>)> {
    let url = std::env::var("MICRO_TEST_POSTGRES").ok()?;
    let (line, url) = Line::to_postgres(&url).await;
    let mut config = PostgresConfig::new(url);
    config.schema = format!("locks_{}", uuid::Uuid::new_v4().simple());
    config.call_timeout = call_timeout;
    config.sweep_every = Duration::from_millis(50);
    Some((line, Postgres::open(&config).await.unwrap()))
}

async fn rows(locks: &Postgres) -> i64 {
    let count = sqlx::query_as::<_, (i64,)>("SELECT count(*) FROM locks");
    count.fetch_one(&locks.server.pool).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_costs_no_call_and_no_lock() {
    let Some((line, locks)) = at_the_end_of_a_line(PATIENCE).await else { return };
    let first = locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await.unwrap();
    line.cut();
    assert!(locks.renew(&key("a"), &first.token, LONG).await.unwrap());
    line.cut();
    assert_eq!(locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await, Err(Error::Timeout));
    line.cut();
    assert!(locks.release(&key("a"), &first.token).await.unwrap());
    line.cut();
    let second = locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await.unwrap();
    assert!(second.fence > first.fence);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_told_in_time() {
    let Some((line, locks)) = at_the_end_of_a_line(Duration::from_millis(700)).await else { return };
    line.stall(true);
    let since = Instant::now();
    let silent = locks.acquire(&key("a"), claim(LONG, LONG)).await.unwrap_err();
    assert!(matches!(silent, Error::Away(_)), "{silent:?}");
    assert!(locks.check().await.is_err());
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert_eq!(micro_api::Error::from(silent).code, 503);
    line.stall(false);
    eventually("it recovers", async || locks.check().await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_goes_while_the_server_works_leaves_no_lock() {
    let Some((_line, locks)) = at_the_end_of_a_line(PATIENCE).await else { return };
    // Holds what each that takes a lock needs.
    let mut blocked = locks.server.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE fences IN ACCESS EXCLUSIVE MODE").execute(&mut *blocked).await.unwrap();
    let gone = {
        let locks = Arc::clone(&locks);
        tokio::spawn(async move { locks.acquire(&key("a"), claim(LONG, LONG)).await })
    };
    eventually("the server works on it", async || {
        let asked = sqlx::query_as::<_, (bool,)>(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE relation = 'fences'::regclass AND NOT granted)",
        );
        asked.fetch_one(&locks.server.pool).await.unwrap().0
    })
    .await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    blocked.rollback().await.unwrap();
    locks.acquire(&key("a"), claim(LONG, PATIENCE)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_expired_locks_go_and_their_fences_stay() {
    let Some((_line, locks)) = at_the_end_of_a_line(PATIENCE).await else { return };
    let short = Duration::from_millis(200);
    let first = locks.acquire(&key("a"), claim(short, Duration::ZERO)).await.unwrap();
    locks.acquire(&key("b"), claim(LONG, Duration::ZERO)).await.unwrap();
    eventually("the row goes", async || rows(&locks).await == 1).await;
    // As if the clock had been set back.
    let ahead = "UPDATE fences SET last = last + 3600000";
    sqlx::query(ahead).execute(&locks.server.pool).await.unwrap();
    let second = locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await.unwrap();
    assert!(second.fence > first.fence + 3_600_000, "{} after {}", second.fence, first.fence);
}

#[test]
fn many_who_wait_ask_as_often_as_few() {
    let (least, most) = (Duration::from_millis(100), Duration::from_millis(250));
    for _ in 0..1_000 {
        assert!((least..=most).contains(&pause(1)));
        assert!((least * 21..=most * 21).contains(&pause(super::super::WAITERS_MAX)));
    }
}

async fn of(process: &Process) -> Arc<Postgres> {
    let (acquire_timeout, call_timeout) = (Duration::from_secs(1), Duration::from_secs(5));
    let config = PostgresConfig { acquire_timeout, call_timeout, ..PostgresConfig::new(process.url()) };
    Postgres::open(&config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_lost_no_lock_and_no_fence() {
    let Some(mut process) = Process::start() else { return };
    let locks = of(&process).await;
    faults::nothing_granted_is_lost(&mut process, locks).await;
}

/// Fills what is left of the disk, the last pages too.
async fn fill(process: &Process) {
    let mut beside = PgConnection::connect(&process.url()).await.unwrap();
    sqlx::query("CREATE TABLE filler (bytes BYTEA)").execute(&mut beside).await.unwrap();
    for bytes in [256 << 10, 1_000] {
        let mut number = 0;
        loop {
            let insert = sqlx::query("INSERT INTO filler VALUES ($1)").bind(noise(number, bytes));
            match insert.execute(&mut beside).await {
                Ok(_) => number += 1,
                Err(sqlx::Error::Database(error)) => {
                    assert_eq!(error.code().as_deref(), Some("53100"), "{error}");
                    break;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_costs_no_lock_and_no_fence() {
    let Some(process) = Process::start_on_disk_of(64 << 20) else { return };
    process.take_room();
    let locks = of(&process).await;
    let held = locks.acquire(&key("held"), claim(LONG, Duration::ZERO)).await.unwrap();
    fill(&process).await;
    // Some have room in pages that are there.
    let mut granted = vec![held.clone()];
    let full = loop {
        let name = format!("{:0>200}", granted.len());
        match locks.acquire(&key(&name), claim(LONG, Duration::ZERO)).await {
            Ok(lock) => granted.push(lock),
            Err(error) => break error,
        }
        assert!(granted.len() < HELD_MAX, "it is never full");
    };
    assert_eq!(full, Error::Memory);
    assert_eq!(micro_api::Error::from(full).code, 507);
    assert!(granted.is_sorted_by_key(|lock| lock.fence));
    assert_eq!(locks.acquire(&key("held"), claim(LONG, Duration::ZERO)).await, Err(Error::Timeout));
    locks.check().await.unwrap();
    // Where it has no room for that, it says so; it is held all the same.
    let renewed = locks.renew(&key("held"), &held.token, LONG).await;
    assert!(matches!(renewed, Ok(true) | Err(Error::Memory)), "{renewed:?}");
    assert_eq!(locks.acquire(&key("held"), claim(LONG, Duration::ZERO)).await, Err(Error::Timeout));
    assert!(locks.release(&key("held"), &held.token).await.unwrap(), "that needs no room");
    process.make_room();
    assert!(locks.renew(&key(&format!("{:0>200}", 1)), &granted[1].token, LONG).await.unwrap());
    let next = locks.acquire(&key("held"), claim(LONG, Duration::ZERO)).await.unwrap();
    assert!(granted.iter().all(|lock| lock.fence < next.fence));
}
