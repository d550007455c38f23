//! What goes wrong between the store and its server, with a real one behind a connection that can be cut and stalled.

use micro_api::name::Namespace;
use tokio::net::TcpListener;

use super::*;
use crate::killed::noise;
use crate::line::Line;
use crate::postgres::server::Server as Process;
use crate::store::faults::nothing_acknowledged_is_lost;
use std::time::Instant;

/// A store of its own schema at the end of a line; none without a server.
async fn at_the_end_of_a_line(adjust: impl FnOnce(&mut PostgresConfig)) -> Option<(Line, Arc<Postgres>)> {
    let url = std::env::var("MICRO_TEST_POSTGRES").ok()?;
    let (line, url) = Line::to_postgres(&url).await;
    let mut config = PostgresConfig::new(url);
    config.schema = format!("store_{}", uuid::Uuid::new_v4().simple());
    config.connections_max = 4;
    config.call_timeout = Duration::from_millis(700);
    adjust(&mut config);
    Some((line, Postgres::open(&config).await.unwrap()))
}

fn table() -> TableKey {
    TableKey::named(&"default".parse::<Namespace>().unwrap(), "faults").unwrap()
}

fn write(key: &str) -> Write {
    Write { key: key.to_owned().into(), value: "v".into(), ttl_ms: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_costs_no_call() {
    let Some((line, store)) = at_the_end_of_a_line(|_| ()).await else { return };
    let own = table();
    // All connections of the pool are in use once.
    let first = (0..4).map(|number| {
        let (store, own) = (Arc::clone(&store), own.clone());
        tokio::spawn(async move { store.set(&own, write(&format!("before{number}"))).await })
    });
    for call in first.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    line.cut();
    store.set(&own, write("after")).await.unwrap();
    line.cut();
    assert_eq!(store.get(&own, b"after").await.unwrap().unwrap().value, "v");
    line.cut();
    let page = store.scan(&own, Range { limit: 100, ..Range::default() }, Want::Keys).await.unwrap();
    assert_eq!(page.records.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_told_in_time_and_all_goes_on_after_it() {
    let Some((line, store)) = at_the_end_of_a_line(|_| ()).await else { return };
    let own = table();
    store.set(&own, write("kept")).await.unwrap();
    line.stall(true);
    let since = Instant::now();
    let silent = store.get(&own, b"kept").await.unwrap_err();
    assert!(matches!(silent, Error::Away(_)), "{silent:?}");
    assert!(store.check().await.is_err(), "the node says that its store is away");
    assert!(store.clean().await.is_err(), "a sweep does not wait for ever");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert_eq!(micro_api::Error::from(silent).code, 503);
    line.stall(false);
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = store.get(&own, b"kept").await {
        assert!(Instant::now() < deadline, "it does not recover: {error}");
    }
    store.set(&own, write("more")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named_at_the_start_and_later() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let config = PostgresConfig::new(format!("postgres://micro:secret@{nobody}/micro"));
    let refused = Postgres::open(&config).await.unwrap_err();
    assert!(matches!(refused, Error::Away(_)), "{refused:?}");
    assert!(!refused.to_string().contains("secret") && !format!("{config:?}").contains("secret"));
    let adjust = |config: &mut PostgresConfig| config.acquire_timeout = Duration::from_millis(200);
    let Some((line, store)) = at_the_end_of_a_line(adjust).await else { return };
    store.set(&table(), write("k")).await.unwrap();
    line.close().await;
    let gone = store.get(&table(), b"k").await.unwrap_err();
    assert!(matches!(gone, Error::Away(_)), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_connection_is_told_so() {
    let adjust = |config: &mut PostgresConfig| {
        config.connections_max = 1;
        config.acquire_timeout = Duration::from_millis(200);
    };
    let Some((line, store)) = at_the_end_of_a_line(adjust).await else { return };
    let own = table();
    store.set(&own, write("k")).await.unwrap();
    line.stall(true);
    let (one, other) = tokio::join!(store.get(&own, b"k"), store.get(&own, b"k"));
    let errors = [one.unwrap_err(), other.unwrap_err()];
    assert!(errors.iter().any(|error| matches!(error, Error::Busy)), "{errors:?}");
    line.stall(false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_made_once_and_a_newer_one_refused() {
    let mut schema = String::new();
    let Some((line, store)) = at_the_end_of_a_line(|config| schema.clone_from(&config.schema)).await else {
        return;
    };
    let url = std::env::var("MICRO_TEST_POSTGRES").unwrap();
    let config = PostgresConfig { schema, ..PostgresConfig::new(url) };
    let again = futures::future::join_all((0..4).map(|_| Postgres::open(&config))).await;
    assert!(again.iter().all(Result::is_ok));
    sqlx::query("UPDATE version SET version = 99").execute(&store.pool).await.unwrap();
    let refused = Postgres::open(&config).await.unwrap_err().to_string();
    assert!(refused.contains("has version 99, newer than this program's 2"), "{refused}");
    drop(line);
    for name in ["", "9a", "A", "a-b", "a;b", &"a".repeat(64)] {
        let config = PostgresConfig { schema: name.to_owned(), ..config.clone() };
        assert!(
            Postgres::open(&config).await.unwrap_err().to_string().contains("no name for a schema"),
            "{name}"
        );
    }
}

/// A schema of the first version is brought up to date with what it holds.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_schema_is_brought_up_to_date() {
    let Ok(url) = std::env::var("MICRO_TEST_POSTGRES") else { return };
    let schema = format!("store_{}", uuid::Uuid::new_v4().simple());
    let server = PgPool::connect(&url).await.unwrap();
    let first = format!(
        "BEGIN; CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}; {}
         SELECT put('default', 'faults', 'k', '41', NULL, NULL); COMMIT;",
        include_str!("schema.sql")
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(first)).execute(&server).await.unwrap();
    let config = PostgresConfig { schema: schema.clone(), ..PostgresConfig::new(url) };
    let all = futures::future::join_all((0..4).map(|_| Postgres::open(&config))).await;
    for (number, store) in (42..).zip(all) {
        assert_eq!(store.unwrap().increment(&table(), b"k", 1, None).await.unwrap(), number);
    }
    let away = format!("DROP SCHEMA {schema} CASCADE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(away)).execute(&server).await.unwrap();
}

/// Whatever breaks, a call is made once: what was acknowledged is counted, and nothing is counted twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_never_counts_twice() {
    let Some((line, store)) = at_the_end_of_a_line(|_| ()).await else { return };
    let own = table();
    let (mut acknowledged, mut unknown) = (0, 0);
    for round in 0..40 {
        if round % 2 == 0 {
            line.cut();
        }
        match store.increment(&own, b"n", 1, None).await {
            Ok(_) => acknowledged += 1,
            Err(error @ Error::Unknown(_)) => {
                unknown += 1;
                let told = micro_api::Error::from(error);
                assert_eq!(told.code, 503);
                assert!(told.detail.contains("may have happened"), "{}", told.detail);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    let sum = store.increment(&own, b"n", 0, None).await;
    let sum = match sum {
        Ok(sum) => sum,
        Err(_) => store.increment(&own, b"n", 0, None).await.unwrap(),
    };
    assert!(unknown > 0, "no connection was cut");
    assert!((acknowledged..=acknowledged + unknown).contains(&sum), "{acknowledged} + {unknown}: {sum}");
}

/// A connection that was idle is asked first, so that a cut one costs such a call nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_that_was_idle_costs_no_call() {
    let Some((line, store)) = at_the_end_of_a_line(|_| ()).await else { return };
    let own = table();
    assert_eq!(store.increment(&own, b"n", 1, None).await.unwrap(), 1);
    line.cut();
    tokio::time::sleep(crate::postgres::ASKED_AFTER_IDLE + Duration::from_millis(100)).await;
    assert_eq!(store.increment(&own, b"n", 1, None).await.unwrap(), 2);
}

/// A role that makes no tables is enough, once they are there.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_only_reads_and_writes_is_enough() {
    let mut schema = String::new();
    let Some((line, store)) = at_the_end_of_a_line(|config| schema.clone_from(&config.schema)).await else {
        return;
    };
    let role = format!("r_{schema}");
    let grant = format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(grant)).execute(&store.pool).await.unwrap();
    let url = std::env::var("MICRO_TEST_POSTGRES").unwrap();
    let (_, rest) = url.split_once('@').unwrap();
    let config =
        PostgresConfig { schema: schema.clone(), ..PostgresConfig::new(format!("postgres://{role}@{rest}")) };
    let limited = Postgres::open(&config).await.unwrap();
    let own = table();
    limited.set(&own, Write { ttl_ms: Some(0), ..write("gone") }).await.unwrap();
    limited.set(&own, write("k")).await.unwrap();
    limited.clean().await.unwrap();
    assert_eq!(limited.tables(own.namespace()).await.unwrap(), ["faults"]);
    assert_eq!(limited.increment(&own, b"n", 1, None).await.unwrap(), 1);
    let delete = ["k", "n"].map(|key| Change::Delete(key.into())).to_vec();
    assert!(limited.commit(&own, Vec::new(), delete).await.unwrap());
    assert_eq!(limited.tables(own.namespace()).await.unwrap(), Vec::<String>::new());
    let away = format!("DROP OWNED BY {role}; DROP ROLE {role}; DROP SCHEMA {schema} CASCADE");
    limited.pool.close().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(away)).execute(&store.pool).await.unwrap();
    drop(line);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_costs_nothing_that_was_acknowledged() {
    let Some(process) = Process::start_on_disk_of(64 << 20) else { return };
    process.take_room();
    let store = Postgres::open(&PostgresConfig::new(process.url())).await.unwrap();
    let own = table();
    let mut written = 0;
    let full = loop {
        let value = noise(written, 256 << 10).into();
        match store.set(&own, Write { value, ..write(&format!("k{written}")) }).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1_000, "it is never full");
    };
    assert!(matches!(full, Error::Full), "{full:?}");
    assert_eq!(micro_api::Error::from(full).code, 507);
    store.check().await.unwrap();
    for number in 0..written {
        let found = store.get(&own, format!("k{number}").as_bytes()).await.unwrap().unwrap();
        assert_eq!(found.value, noise(number, 256 << 10), "k{number}");
    }
    // Nothing of what was refused is there, and nothing but room is missing.
    assert_eq!(store.get(&own, format!("k{written}").as_bytes()).await.unwrap(), None);
    process.make_room();
    store.set(&own, Write { value: noise(written, 256 << 10).into(), ..write("more") }).await.unwrap();
    assert!(store.get(&own, b"more").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_lost_nothing_that_was_acknowledged() {
    let Some(mut process) = Process::start() else { return };
    let acquire_timeout = Duration::from_secs(1);
    let config = PostgresConfig { acquire_timeout, ..PostgresConfig::new(process.url()) };
    let store = Postgres::open(&config).await.unwrap();
    nothing_acknowledged_is_lost(&mut process, store).await;
}
