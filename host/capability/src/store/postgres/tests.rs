//! What goes wrong between the store and its server, with a real one behind a connection that can be cut and stalled.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use micro_api::name::Namespace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;

#[test]
fn a_prefix_ends_before_the_next_key() {
    assert_eq!(after_all_with(b"a"), Some(b"b".to_vec()));
    assert_eq!(after_all_with(b"a\xff\xff"), Some(b"b".to_vec()));
    assert_eq!(after_all_with(b"a\0"), Some(b"a\x01".to_vec()));
    assert_eq!(after_all_with(b"\xff"), None);
    assert_eq!(after_all_with(b""), None);
}

/// Passes bytes on between clients and the server, until it is told not to.
struct Line {
    address: SocketAddr,
    stalled: Arc<AtomicBool>,
    cuts: watch::Sender<u32>,
    listening: tokio::task::JoinHandle<()>,
}

impl Line {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (all_stalled, all_cuts) = (Arc::<AtomicBool>::default(), watch::Sender::new(0));
        let (stalled, cuts) = (Arc::clone(&all_stalled), all_cuts.subscribe());
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                let (stalled, mut cut) = (Arc::clone(&stalled), cuts.clone());
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::select! {
                        () = pass(from_client, to_server, &stalled) => {}
                        () = pass(from_server, to_client, &stalled) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, stalled: all_stalled, cuts: all_cuts, listening }
    }

    /// Cuts all, and takes nobody any more.
    async fn close(mut self) {
        self.listening.abort();
        let _ = (&mut self.listening).await;
        self.cut();
    }

    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::SeqCst);
    }
}

async fn pass(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, stalled: &AtomicBool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        while stalled.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// A store of its own schema at the end of a line; none without a server.
async fn at_the_end_of_a_line(adjust: impl FnOnce(&mut PostgresConfig)) -> Option<(Line, Arc<Postgres>)> {
    let url = std::env::var("MICRO_TEST_POSTGRES").ok()?;
    let (before, rest) = url.split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let line = Line::to(server.to_owned()).await;
    let mut config = PostgresConfig::new(format!("{before}@{}/{database}", line.address));
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
    assert!(refused.contains("has version 99, newer than this program's 1"), "{refused}");
    drop(line);
    for name in ["", "9a", "A", "a-b", "a;b", &"a".repeat(64)] {
        let config = PostgresConfig { schema: name.to_owned(), ..config.clone() };
        assert!(
            Postgres::open(&config).await.unwrap_err().to_string().contains("no name for a schema"),
            "{name}"
        );
    }
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
    limited.delete(&own, b"k").await.unwrap();
    assert_eq!(limited.tables(own.namespace()).await.unwrap(), Vec::<String>::new());
    let away = format!("DROP OWNED BY {role}; DROP ROLE {role}; DROP SCHEMA {schema} CASCADE");
    limited.pool.close().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(away)).execute(&store.pool).await.unwrap();
    drop(line);
}
