//! What goes wrong between the broker and its server, with servers of the tests' own.

mod nodes;

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use super::super::contract::message;
use super::*;
use crate::line::Line;
use crate::redis::server::Server as Process;

const WITHIN: Duration = Duration::from_secs(20);

fn key(group: Group) -> GroupKey {
    GroupKey { topic: TopicKey::new(&Namespace::default(), "faults").unwrap(), group }
}

fn queue(name: &str) -> GroupKey {
    key(Group::Queue(name.to_owned()))
}

fn fan_out(node: &str) -> GroupKey {
    let (service, version) = ("app".to_owned(), "latest".to_owned());
    key(Group::FanOut { service, version, node: node.to_owned() })
}

fn config(url: impl Into<String>) -> RedisBrokerConfig {
    let mut config = RedisBrokerConfig::new(url);
    config.server.call_timeout = Duration::from_millis(700);
    config
}

fn claim(max: usize, wait: Duration) -> Claim {
    Claim { max, lease: Duration::from_secs(3_600), wait }
}

async fn state(broker: &Redis, key: &GroupKey) -> Option<GroupState> {
    let states = broker.groups(&Namespace::default()).await.unwrap();
    states.into_iter().find(|state| state.key == *key)
}

/// Waits until the broker answers again.
async fn recovered(broker: &Redis) {
    let deadline = Instant::now() + WITHIN;
    while let Err(error) = broker.check().await {
        assert!(Instant::now() < deadline, "it does not recover: {error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn text(claimed: &Claimed) -> String {
    String::from_utf8(claimed.message.body.to_vec()).unwrap()
}

/// Takes and acknowledges all, whatever the connection does; how often each came.
async fn drain(broker: &Redis, key: &GroupKey) -> HashMap<String, u32> {
    let mut seen = HashMap::new();
    let deadline = Instant::now() + WITHIN;
    while state(broker, key).await.is_some_and(|state| state.waiting + state.in_flight > 0) {
        assert!(Instant::now() < deadline, "messages are left: {:?}", state(broker, key).await);
        let claimed = broker.claim(key, claim(64, Duration::from_millis(100))).await.unwrap();
        for claimed in &claimed {
            *seen.entry(text(claimed)).or_default() += 1;
        }
        let tokens: Vec<_> = claimed.iter().map(|claimed| claimed.token).collect();
        broker.ack(key, &tokens).await.unwrap();
    }
    seen
}

/// Calls again what was certainly not done.
async fn insist<T, F: Future<Output = Result<T, Error>>>(call: impl Fn() -> F) -> T {
    let deadline = Instant::now() + WITHIN;
    loop {
        match call().await {
            Ok(done) => return done,
            Err(Error::Away(reason)) => assert!(Instant::now() < deadline, "{reason}"),
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_costs_no_message_and_none_comes_twice() {
    let Some(process) = Process::start(&[]) else { return };
    let line = Line::to(process.address()).await;
    let broker = Redis::open(&config(format!("redis://{}", line.address))).await.unwrap();
    let own = queue("q");
    broker.subscribe(&own).await.unwrap();
    let mut seen = HashSet::new();
    for round in 0..60_u64 {
        let sent = message(round.to_string());
        // Before, under and after the call.
        let cut = async {
            tokio::time::sleep(Duration::from_micros(round * 40)).await;
            line.cut();
        };
        let (published, ()) = tokio::join!(insist(|| broker.publish(&own.topic, sent.clone())), cut);
        assert_eq!(published, 1);
        let cut = async {
            tokio::time::sleep(Duration::from_micros(round * 40)).await;
            line.cut();
        };
        let (mut claimed, ()) = tokio::join!(insist(|| broker.claim(&own, claim(1, WITHIN))), cut);
        let claimed = claimed.remove(0);
        assert!(seen.insert(text(&claimed)), "{} came twice", text(&claimed));
        assert_eq!(claimed.attempt, 1);
        line.cut();
        let tokens = [claimed.token];
        insist(|| broker.ack(&own, &tokens)).await;
    }
    assert_eq!(seen.len(), 60);
    let state = state(&broker, &own).await.unwrap();
    assert_eq!((state.waiting, state.in_flight, state.bytes, state.delivered), (0, 0, 0, 60));
}

/// What a claim answers.
type Found = (u64, i64, Vec<(u64, u32, Vec<u8>, Vec<u8>)>);

#[tokio::test(flavor = "multi_thread")]
async fn the_same_call_again_is_the_same_call() {
    let Some(process) = Process::start(&[]) else { return };
    let broker = Redis::open(&config(process.url())).await.unwrap();
    let (inner, own) = (&broker.inner, queue("q"));
    for key in [&own, &queue("p")] {
        broker.subscribe(key).await.unwrap();
    }
    let sent = message("1");
    for _ in 0..3 {
        assert_eq!(broker.publish(&own.topic, sent.clone()).await, Ok(2));
    }
    broker.publish(&own.topic, message("2")).await.unwrap();
    assert_eq!(state(&broker, &own).await.unwrap().waiting, 2);
    let call = inner.on_group(&inner.scripts.claim, &own).arg(inner.next_claim()).arg(1).arg(60_000).arg(1);
    let first: Found = inner.server.retried(&call).await.unwrap();
    let again: Found = inner.server.retried(&call).await.unwrap();
    assert_eq!((first.2.len(), &first), (1, &again));
    assert_eq!(state(&broker, &own).await.unwrap().waiting, 1);
    // The ids that are known are bounded.
    for _ in 0..20 {
        let call = broker.publishing(&own.topic, &message("x"), 3).unwrap();
        inner.sure::<(i64, String)>(&call).await.unwrap();
    }
    let mut count = ::redis::cmd("ZCARD");
    count.arg(&names::of_space(inner.server.prefix(), &Namespace::default())[5]);
    assert_eq!(inner.server.retried::<u64>(&Call::plain(count)).await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bell_rings_again_after_its_line_was_cut() {
    let Some(process) = Process::start(&[]) else { return };
    let line = Line::to(process.address()).await;
    let (here, there) = (config(format!("redis://{}", line.address)), config(process.url()));
    let (here, there) = (Redis::open(&here).await.unwrap(), Redis::open(&there).await.unwrap());
    let own = queue("q");
    here.subscribe(&own).await.unwrap();
    let number = names::bell(own.topic.namespace(), &names::member(&own));
    let mut other = here.inner.bells.of((number + 1) % bells::BELLS);
    for _ in 0..3 {
        let mut bell = here.inner.bells.of(number);
        let deadline = Instant::now() + WITHIN;
        // The first may come before the line is there; all bells ring when it is, and then ours alone.
        loop {
            bell.mark_unchanged();
            other.mark_unchanged();
            there.publish(&own.topic, message("1")).await.unwrap();
            let rang = tokio::time::timeout(Duration::from_millis(200), bell.changed()).await.is_ok();
            if rang && !other.has_changed().unwrap() {
                break;
            }
            assert!(Instant::now() < deadline, "it does not ring");
        }
        line.cut();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_server_is_told_in_time_and_costs_no_lease() {
    let Some(process) = Process::start(&[]) else { return };
    let broker = Redis::open(&config(process.url())).await.unwrap();
    let (own, all) = (queue("q"), fan_out("n1"));
    for key in [&own, &all] {
        broker.subscribe(key).await.unwrap();
    }
    broker.publish(&own.topic, message("1")).await.unwrap();
    let held = broker.claim(&own, claim(1, WITHIN)).await.unwrap().remove(0);
    process.stall();
    let since = Instant::now();
    let silent = broker.publish(&own.topic, message("2")).await.unwrap_err();
    assert!(matches!(silent, Error::Unsure(_) | Error::Away(_)), "{silent:?}");
    let told = micro_api::Error::from(Error::Unsure("x".to_owned()));
    assert!(told.code == 503 && told.detail.contains("may have happened"), "{told:?}");
    assert!(broker.check().await.is_err(), "the node says that its broker is away");
    tokio::time::sleep(Duration::from_secs(2).saturating_sub(since.elapsed())).await;
    process.go_on();
    recovered(&broker).await;
    assert_eq!(broker.ack(&own, &[held.token]).await.unwrap(), 1, "it is still ours");
    broker.publish(&own.topic, message("3")).await.unwrap();
    for key in [&all, &own] {
        let seen = drain(&broker, key).await;
        assert!(seen.values().all(|times| *times == 1), "{seen:?}");
        assert!(seen.contains_key("3") && seen.contains_key("1") == (key == &all), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_lost_nothing_that_was_acknowledged() {
    let Some(mut process) = Process::start(&[]) else { return };
    let broker = Redis::open(&config(process.url())).await.unwrap();
    let own = queue("q");
    broker.subscribe(&own).await.unwrap();
    let (mut acknowledged, mut unsure, mut acked) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut last = None;
    for round in 0..2 {
        let publishers = (0..8).map(|publisher| {
            let (broker, topic) = (Arc::clone(&broker), own.topic.clone());
            tokio::spawn(async move {
                let mut done = Vec::new();
                for number in 0.. {
                    let body = format!("{round}/{publisher}/{number}");
                    match broker.publish(&topic, message(body.clone())).await {
                        Ok(_) => done.push(body),
                        Err(Error::Unsure(_)) => return (done, Some(body)),
                        Err(_) => break,
                    }
                }
                (done, None)
            })
        });
        let publishers: Vec<_> = publishers.collect();
        // Under load some are done with, and one is being delivered.
        for _ in 0..20 {
            let claimed = broker.claim(&own, claim(1, WITHIN)).await.unwrap().remove(0);
            assert_eq!(broker.ack(&own, &[claimed.token]).await.unwrap(), 1);
            assert!(acked.insert(text(&claimed)));
        }
        let short = Claim { lease: Duration::from_secs(1), ..claim(1, WITHIN) };
        let held = broker.claim(&own, short).await.unwrap().remove(0);
        process.kill();
        for publisher in publishers {
            let (done, open) = publisher.await.unwrap();
            acknowledged.extend(done);
            unsure.extend(open);
        }
        let gone = broker.publish(&own.topic, message("x")).await.unwrap_err();
        assert!(matches!(gone, Error::Away(_) | Error::Unsure(_)), "{gone:?}");
        process.restart();
        recovered(&broker).await;
        last = Some(text(&held));
    }
    let seen = drain(&broker, &own).await;
    for body in acknowledged.iter().filter(|body| !acked.contains(*body)) {
        assert!(seen.contains_key(body), "{body} is lost");
    }
    for (body, times) in &seen {
        assert_eq!(*times, 1, "{body}");
        assert!(!acked.contains(body), "{body} was acknowledged");
        assert!(acknowledged.contains(body) || unsure.contains(body), "{body} was never published");
    }
    assert!(seen.contains_key(&last.unwrap()), "what was being delivered comes again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_publishers_whole_and_still_serves_subscribers() {
    let Some(process) = Process::start(&["--maxmemory", "8mb"]) else { return };
    let broker = Redis::open(&config(process.url())).await.unwrap();
    let (one, two) = (queue("one"), queue("two"));
    for key in [&one, &two] {
        broker.subscribe(key).await.unwrap();
    }
    let large = || message(vec![b'7'; 100 << 10]);
    let mut published = 0;
    let full = loop {
        match broker.publish(&one.topic, large()).await {
            Ok(groups) => published += u64::from(groups == 2),
            Err(error) => break error,
        }
        assert!(published < 1_000, "it is never full");
    };
    assert_eq!(full, Error::ServerFull);
    assert_eq!(micro_api::Error::from(full).code, 507);
    // What was refused was large: small ones take the rest.
    while broker.publish(&one.topic, message("7")).await.is_ok() {
        published += 1;
        assert!(published < 10_000, "it is never full");
    }
    for key in [&one, &two] {
        assert_eq!(state(&broker, key).await.unwrap().waiting, published, "both have it or none");
    }
    assert_eq!(broker.subscribe(&queue("three")).await, Err(Error::ServerFull));
    assert!(state(&broker, &queue("three")).await.is_none());
    broker.subscribe(&one).await.unwrap();
    // Whatever lets messages go must go on.
    let claimed = broker.claim(&one, claim(3, WITHIN)).await.unwrap();
    assert!(broker.nack(&one, claimed[0].token, Duration::ZERO).await.unwrap());
    assert!(broker.bury(&one, claimed[1].token, "no", true).await.unwrap());
    assert_eq!(broker.ack(&one, &[claimed[2].token]).await.unwrap(), 1);
    assert_eq!(broker.redrive(&Namespace::default(), &Filter::default()).await, Ok(1));
    let seen = drain(&broker, &one).await;
    assert_eq!(u64::from(seen.values().sum::<u32>()), published - 1);
    let deadline = Instant::now() + WITHIN;
    // The server gives memory back in its own time.
    while let Err(error) = broker.publish(&one.topic, large()).await {
        assert!(error == Error::ServerFull && Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_nothing_is_refused_at_the_start() {
    let Some(process) = Process::start(&["--maxmemory-policy", "allkeys-lru"]) else { return };
    let refused = Redis::open(&config(process.url())).await.unwrap_err().to_string();
    assert!(refused.contains("allkeys-lru") && refused.contains("noeviction"), "{refused}");
    let mut wrong = config(process.url());
    wrong.bounds.namespace_groups_max = 5_000;
    assert!(Redis::open(&wrong).await.unwrap_err().to_string().contains("4095 groups"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_rights_suffice() {
    let user = "user broker on >secret ~micro:broker:* resetchannels &micro:broker:bells -@all +ping +info +evalsha \
                +script|load +subscribe +publish +time +exists +unlink +pexpire +hget +hmget +hset +hdel +hlen +hkeys \
                +hstrlen +hincrby +rpush +lpush +lpop +llen +zadd +zrem +zcard +zscore +zrange +zrangebylex \
                +zrangebyscore +zremrangebyscore +zremrangebyrank";
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.acl");
    std::fs::write(&users, format!("user default on >other ~* &* +@all\n{user}\n")).unwrap();
    let Some(process) = Process::start(&["--aclfile", &users.display().to_string()]) else { return };
    let refused = Redis::open(&config(process.url())).await.unwrap_err();
    assert!(matches!(refused, Error::Backend(_)), "{refused:?}");
    let url = format!("redis://broker:secret@{}", process.address());
    let broker = Redis::open(&config(&url)).await.unwrap();
    let (own, space) = (queue("q"), Namespace::default());
    for key in [&own, &fan_out("n1")] {
        broker.subscribe(key).await.unwrap();
        broker.subscribe(key).await.unwrap();
    }
    for body in ["1", "2", "3", "4"] {
        broker.publish(&own.topic, message(body)).await.unwrap();
    }
    let claimed = broker.claim(&own, claim(4, WITHIN)).await.unwrap();
    assert!(broker.nack(&own, claimed[0].token, Duration::ZERO).await.unwrap());
    assert_eq!(broker.ack(&own, &[claimed[1].token]).await.unwrap(), 1);
    assert!(broker.bury(&own, claimed[2].token, "no", true).await.unwrap());
    assert!(broker.bury(&own, claimed[3].token, "no", false).await.unwrap());
    assert_eq!(broker.redrive(&space, &Filter::default()).await, Ok(1));
    // What was claimed for nobody goes back.
    drop(Taken::take(Arc::clone(&broker.inner), own.clone(), claim(1, Duration::ZERO)).await.unwrap());
    let claimed = broker.claim(&own, claim(1, WITHIN)).await.unwrap().remove(0);
    assert!(broker.bury(&own, claimed.token, "no", true).await.unwrap());
    assert_eq!(broker.dead(&space, &Filter::default(), 9).await.unwrap().len(), 1);
    assert_eq!(broker.discard(&space, &Filter::default()).await, Ok(1));
    assert_eq!(broker.sweep().await, Ok(0));
    let mut bell = broker.inner.bells.of(names::bell(&space, &names::member(&own)));
    bell.mark_unchanged();
    let deadline = Instant::now() + WITHIN;
    loop {
        broker.publish(&own.topic, message("ring")).await.unwrap();
        if tokio::time::timeout(Duration::from_millis(200), bell.changed()).await.is_ok() {
            break;
        }
        assert!(Instant::now() < deadline, "it may not hear");
    }
    broker.unsubscribe(&own).await.unwrap();
    assert_eq!(broker.groups(&space).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = Redis::open(&config(format!("redis://micro:secret@{nobody}"))).await.unwrap_err();
    assert!(matches!(refused, Error::Away(_)) && !refused.to_string().contains("secret"), "{refused:?}");
}
