//! What goes wrong between the store and its server, with servers of the tests' own.

use std::time::Instant;

use tokio::net::TcpListener;

use super::*;
use crate::line::Line;
use crate::redis::server::Server as Process;
use crate::store::faults::nothing_acknowledged_is_lost;

fn table() -> TableKey {
    TableKey::named(&"default".parse::<Namespace>().unwrap(), "faults").unwrap()
}

fn write(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Write {
    Write { key: key.into(), value: value.into(), ttl_ms: None }
}

fn config(url: impl Into<String>) -> RedisStoreConfig {
    let mut config = RedisStoreConfig::new(url);
    config.server.call_timeout = Duration::from_millis(700);
    config.sweep_every = Duration::from_millis(50);
    config
}

/// Waits until the store answers again.
async fn recovered(store: &Redis) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = store.get(&table(), b"k").await {
        assert!(Instant::now() < deadline, "it does not recover: {error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_costs_no_call_and_counts_nothing_twice() {
    let Some(process) = Process::start(&[]) else { return };
    let line = Line::to(process.address()).await;
    let store = Redis::open(&config(format!("redis://{}", line.address))).await.unwrap();
    let own = table();
    let (mut acknowledged, mut unknown) = (0, 0);
    for round in 0..40 {
        let key = format!("k{round}");
        store.set(&own, write(key.clone(), "v")).await.unwrap();
        line.cut();
        assert_eq!(store.get(&own, key.as_bytes()).await.unwrap().unwrap().value, "v");
        line.cut();
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
        line.cut();
        store.delete(&own, key.as_bytes()).await.unwrap();
    }
    assert!(unknown > 0, "no connection was cut");
    let sum = store
        .get(&own, b"n")
        .await
        .unwrap()
        .map_or(0, |record| std::str::from_utf8(&record.value).unwrap().parse::<i64>().unwrap());
    assert!((acknowledged..=acknowledged + unknown).contains(&sum), "{acknowledged} + {unknown}: {sum}");
    // A connection that was idle is asked first, so that a cut one costs no such call anything.
    let before = store.increment(&own, b"idle", 1, None).await;
    let before =
        if let Ok(before) = before { before } else { store.increment(&own, b"idle", 1, None).await.unwrap() };
    line.cut();
    tokio::time::sleep(crate::redis::ASKED_AFTER_IDLE + Duration::from_millis(100)).await;
    assert_eq!(store.increment(&own, b"idle", 1, None).await.unwrap(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_server_is_told_in_time_and_all_goes_on_after_it() {
    let Some(process) = Process::start(&[]) else { return };
    let store = Redis::open(&config(process.url())).await.unwrap();
    let own = table();
    store.set(&own, write("k", "kept")).await.unwrap();
    process.stall();
    let since = Instant::now();
    let silent = store.get(&own, b"k").await.unwrap_err();
    assert!(matches!(silent, Error::Away(_)), "{silent:?}");
    assert_eq!(micro_api::Error::from(silent).code, 503);
    let silent = store.increment(&own, b"n", 1, None).await.unwrap_err();
    assert!(matches!(silent, Error::Unknown(_) | Error::Away(_)), "{silent:?}");
    assert!(store.check().await.is_err(), "the node says that its store is away");
    assert!(since.elapsed() < Duration::from_secs(6), "{:?}", since.elapsed());
    tokio::time::sleep(Duration::from_secs(2).saturating_sub(since.elapsed())).await;
    process.go_on();
    recovered(&store).await;
    assert_eq!(store.get(&own, b"k").await.unwrap().unwrap().value, "kept");
    store.check().await.unwrap();
    let sum = store.increment(&own, b"n", 1, None).await.unwrap();
    assert!((1..=2).contains(&sum), "the one whose answer was missed happened once or not: {sum}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_lost_nothing_that_was_acknowledged() {
    let Some(mut process) = Process::start(&[]) else { return };
    let store = Redis::open(&config(process.url())).await.unwrap();
    nothing_acknowledged_is_lost(&mut process, store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_says_so_and_throws_nothing_away() {
    let Some(process) = Process::start(&["--maxmemory", "8mb"]) else { return };
    let store = Redis::open(&config(process.url())).await.unwrap();
    let own = table();
    store.set(&own, write("first", "1")).await.unwrap();
    let mut written = Vec::new();
    let full = loop {
        let key = format!("k{:04}", written.len());
        match store.set(&own, write(key.clone(), vec![7; 100 << 10])).await {
            Ok(()) => written.push(key),
            Err(error) => break error,
        }
        assert!(written.len() < 1_000, "it is never full");
    };
    assert!(matches!(full, Error::Full), "{full:?}");
    assert_eq!(micro_api::Error::from(full).code, 507);
    // What a call brings along counts, too: as much as was refused is refused again.
    let much = Change::Set(write("a", vec![7; 200 << 10]));
    let refused = store.commit(&own, Vec::new(), vec![Change::Delete("first".into()), much]).await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    let mut numbers = 0;
    let full = loop {
        match store.increment(&own, format!("{numbers:0900}").as_bytes(), 1, None).await {
            Ok(_) => numbers += 1,
            Err(error) => break error,
        }
        assert!(numbers < 10_000, "it is never full");
    };
    assert!(matches!(full, Error::Full), "{full:?}");
    assert_eq!(store.get(&own, b"first").await.unwrap().unwrap().value, "1", "nothing of it happened");
    for key in &written {
        assert!(store.get(&own, key.as_bytes()).await.unwrap().is_some(), "{key}");
    }
    for key in &written[..written.len() / 2] {
        store.delete(&own, key.as_bytes()).await.unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    // The server gives memory back in its own time.
    let set = |key: &'static str| Change::Set(write(key, "v"));
    while let Err(error) = store.commit(&own, Vec::new(), vec![set("a"), set("b")]).await {
        assert!(matches!(error, Error::Full) && Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_nothing_is_refused_at_the_start() {
    for policy in ["allkeys-lru", "volatile-ttl"] {
        let Some(process) = Process::start(&["--maxmemory-policy", policy]) else { return };
        let refused = Redis::open(&config(process.url())).await.unwrap_err().to_string();
        assert!(refused.contains(policy) && refused.contains("noeviction"), "{refused}");
    }
    let Some(process) = Process::start(&[]) else { return };
    let port = process.address();
    let Some(replica) = Process::start(&["--replicaof", "127.0.0.1", port.rsplit(':').next().unwrap()])
    else {
        return;
    };
    let refused = Redis::open(&config(replica.url())).await.unwrap_err().to_string();
    assert!(refused.contains("replica"), "{refused}");
    // Not the one that it would choose, which may be beyond the last.
    let bus = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port().to_string();
    let Some(cluster) = Process::start(&["--cluster-enabled", "yes", "--cluster-port", &bus]) else { return };
    let refused = Redis::open(&config(cluster.url())).await.unwrap_err().to_string();
    assert!(refused.contains("Cluster"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_come_in_is_told_and_the_least_rights_suffice() {
    let user = "user store on >secret ~micro:store:* resetchannels -@all +ping +info +hmget +hscan +evalsha +script|load \
                +time +zscore +hget +hexists +hstrlen +hset +hdel +hincrby +zadd +zrem +zrange +zrangebylex \
                +zrangebyscore +zmscore +zcard +zcount";
    let blind = "user blind on >secret ~* -@all +ping";
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.acl");
    std::fs::write(&users, format!("user default on >other ~* &* +@all\n{user}\n{blind}\n")).unwrap();
    let Some(process) = Process::start(&["--aclfile", &users.display().to_string()]) else { return };
    let url = |user: &str| config(format!("redis://{user}@{}", process.address()));
    for wrong in ["store:wrong", ":secret", "nobody:secret"] {
        let refused = Redis::open(&url(wrong)).await.unwrap_err();
        assert!(matches!(refused, Error::Backend(_)), "{refused:?}");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
    assert!(Redis::open(&config(process.url())).await.is_err(), "without any password");
    assert!(!format!("{:?}", url("store:secret")).contains("secret"));
    let refused = Redis::open(&url("blind:secret")).await.unwrap_err().to_string();
    assert!(refused.contains("allow +info"), "{refused}");
    let store = Redis::open(&url("store:secret")).await.unwrap();
    let own = table();
    store.set(&own, Write { ttl_ms: Some(1), ..write("gone", "1") }).await.unwrap();
    store.set(&own, write("k", "1")).await.unwrap();
    assert_eq!(store.increment(&own, b"k", 1, Some(5)).await.unwrap(), 2);
    assert_eq!(store.tables(own.namespace()).await.unwrap(), ["faults"]);
    store.clean().await.unwrap();
    let range = Range { limit: 10, ..Range::default() };
    let page = store.scan(&own, range, Want::Records).await.unwrap();
    assert_eq!(page.records.len(), 1);
    let check = Check { key: "k".into(), value: Some("2".into()) };
    assert!(store.commit(&own, vec![check], vec![Change::Delete("k".into())]).await.unwrap());
    store.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = Redis::open(&config(format!("redis://micro:secret@{nobody}"))).await.unwrap_err();
    assert!(matches!(refused, Error::Away(_)), "{refused:?}");
    assert!(!refused.to_string().contains("secret"));
    // One that takes connections and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(format!("redis://{}", silent.local_addr().unwrap()));
    config.server.acquire_timeout = Duration::from_millis(200);
    let refused = Redis::open(&config).await.unwrap_err();
    assert!(matches!(refused, Error::Away(_)), "{refused:?}");
    for url in ["", "http://x", "redis//x"] {
        assert!(Redis::open(&RedisStoreConfig::new(url)).await.is_err(), "{url}");
    }
    for prefix in ["", "a:b", "{a}", "A", &"a".repeat(65)] {
        config.server.prefix = prefix.to_owned();
        let refused = Redis::open(&config).await.unwrap_err().to_string();
        assert!(refused.contains("no prefix"), "{prefix}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_calls_go_out_than_may() {
    let Some(process) = Process::start(&[]) else { return };
    let mut config = config(process.url());
    (config.server.calls_max, config.server.connections_max) = (1, 1);
    config.server.acquire_timeout = Duration::from_millis(200);
    config.sweep_every = Duration::from_secs(3_600);
    let store = Redis::open(&config).await.unwrap();
    store.set(&table(), write("k", "v")).await.unwrap();
    process.stall();
    let own = table();
    let (one, other) = tokio::join!(store.get(&own, b"k"), store.get(&own, b"k"));
    let errors = [one.unwrap_err(), other.unwrap_err()];
    assert!(errors.iter().any(|error| matches!(error, Error::Busy)), "{errors:?}");
    process.go_on();
    recovered(&store).await;
}

/// A script whose text the server forgot is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgot_the_scripts_gets_them_again() {
    let Some(process) = Process::start(&[]) else { return };
    let store = Redis::open(&config(process.url())).await.unwrap();
    assert_eq!(store.increment(&table(), b"n", 1, None).await.unwrap(), 1);
    let mut flush = ::redis::cmd("SCRIPT");
    flush.arg("FLUSH");
    store.server.retried::<String>(&Call::plain(flush)).await.unwrap();
    assert_eq!(store.increment(&table(), b"n", 1, None).await.unwrap(), 2);
}
