//! What every backend must do, run on each; on Redis when `MICRO_TEST_REDIS` names a server.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_api::name::Namespace;

use super::*;
use crate::client::Codec;
use crate::redis::server;
use crate::tests::ran;

/// Small bounds, so that they are reached.
fn config() -> MemoryConfig {
    MemoryConfig {
        group_messages_max: 4,
        group_bytes_max: 8 << 10,
        group_dead_max: 3,
        group_dead_bytes_max: 8 << 10,
        namespace_groups_max: 4,
        namespace_bytes_max: 12 << 10,
        bytes_max: 12 << 10,
        unseen_max: Duration::from_millis(300),
    }
}

/// Runs a check on each backend, a fresh one each.
fn on_each<F: Future<Output = ()>>(check: impl Fn(Arc<dyn Backend>) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    runtime.block_on(check(Arc::new(Memory::new(config()))));
    ran("broker", "memory");
    if let Some(url) = server::shared() {
        runtime.block_on(async {
            let mut own = RedisBrokerConfig { bounds: config(), ..RedisBrokerConfig::new(&url) };
            own.server.prefix = server::prefix();
            check(Redis::open(&own).await.unwrap()).await;
            server::remove_all(&url, &own.server.prefix).await;
        });
        ran("broker", "Redis");
    }
}

fn namespace(name: &str) -> Namespace {
    name.parse().unwrap()
}

fn queue_of(space: &str, topic: &str, queue: &str) -> GroupKey {
    let topic = TopicKey::new(&namespace(space), topic).unwrap();
    GroupKey { topic, group: Group::Queue(queue.to_owned()) }
}

async fn tokens<const N: usize>(backend: &dyn Backend, key: &GroupKey) -> [Token; N] {
    let claimed = backend.claim(key, now(N)).await.unwrap();
    let tokens: Vec<_> = claimed.iter().map(|claimed| claimed.token).collect();
    tokens.try_into().unwrap()
}

fn fan_out(space: &str, topic: &str, node: &str) -> GroupKey {
    let topic = TopicKey::new(&namespace(space), topic).unwrap();
    let group =
        Group::FanOut { service: "app".to_owned(), version: "latest".to_owned(), node: node.to_owned() };
    GroupKey { topic, group }
}

pub(super) fn message(body: impl Into<Bytes>) -> Message {
    Message {
        id: uuid::Uuid::new_v4().to_string(),
        headers: vec![("Color".to_owned(), "red".to_owned())],
        body: body.into(),
        codec: Codec::Json,
        from: None,
        traceparent: String::new(),
        published_ms: 1,
    }
}

fn now(max: usize) -> Claim {
    Claim { max, lease: Duration::from_secs(60), wait: Duration::ZERO }
}

async fn bodies(backend: &dyn Backend, key: &GroupKey, max: usize) -> Vec<Bytes> {
    let claimed = backend.claim(key, now(max)).await.unwrap();
    claimed.into_iter().map(|claimed| claimed.message.body.clone()).collect()
}

async fn state(backend: &dyn Backend, key: &GroupKey) -> GroupState {
    let groups = backend.groups(key.topic.namespace()).await.unwrap();
    groups.into_iter().find(|state| state.key == *key).unwrap()
}

#[test]
fn groups_each_have_every_message_and_members_share() {
    on_each(|backend| async move {
        let (one, two) = (queue_of("a", "t", "one"), queue_of("a", "t", "two"));
        let (left, right) = (fan_out("a", "t", "n1"), fan_out("a", "t", "n2"));
        for key in [&one, &two, &left, &right] {
            backend.subscribe(key).await.unwrap();
        }
        assert_eq!(backend.publish(&one.topic, message("1")).await, Ok(4));
        assert_eq!(backend.publish(&one.topic, message("2")).await, Ok(4));
        // Two members of one group: each message once.
        assert_eq!(bodies(&*backend, &one, 1).await, ["1"]);
        assert_eq!(bodies(&*backend, &one, 9).await, ["2"]);
        assert!(bodies(&*backend, &one, 9).await.is_empty());
        for key in [&two, &left, &right] {
            assert_eq!(bodies(&*backend, key, 9).await, ["1", "2"]);
        }
    });
}

#[test]
fn a_group_hears_what_comes_after_it_and_nothing_of_others() {
    on_each(|backend| async move {
        let own = queue_of("a", "t", "q");
        assert_eq!(backend.publish(&own.topic, message("early")).await, Ok(0), "dropped");
        backend.subscribe(&own).await.unwrap();
        for (space, topic) in [("b", "t"), ("a", "u"), ("a", "t.u"), ("a", "tt")] {
            let topic = TopicKey::new(&namespace(space), topic).unwrap();
            assert_eq!(backend.publish(&topic, message("foreign")).await, Ok(0));
        }
        assert!(bodies(&*backend, &own, 9).await.is_empty());
        assert!(backend.groups(&namespace("b")).await.unwrap().is_empty());
        assert!(backend.metrics().contains("micro_broker_unheard_total 5\n"));
        // Subscribing again neither empties it nor doubles anything.
        backend.publish(&own.topic, message("1")).await.unwrap();
        backend.subscribe(&own).await.unwrap();
        assert_eq!(bodies(&*backend, &own, 9).await, ["1"]);
    });
}

#[test]
fn what_is_acknowledged_together_is_done_and_nothing_else() {
    on_each(|backend| async move {
        let (key, other) = (queue_of("a", "t", "q"), queue_of("a", "t", "r"));
        for key in [&key, &other] {
            backend.subscribe(key).await.unwrap();
        }
        for body in ["1", "2", "3"] {
            backend.publish(&key.topic, message(body)).await.unwrap();
        }
        let [first, second, third] = tokens(&*backend, &key).await;
        let of_other: [_; 3] = tokens(&*backend, &other).await;
        let some = [third, first, Token(third.0, u64::MAX), third];
        assert_eq!(backend.ack(&key, &some).await.unwrap(), 2, "the others were not leased");
        assert_eq!(backend.ack(&key, &some).await.unwrap(), 0);
        assert_eq!(backend.ack(&key, &[]).await.unwrap(), 0);
        let gone = queue_of("a", "t", "nobody");
        assert!(matches!(backend.ack(&gone, &some).await, Err(Error::Unknown)));
        let state_of = async |key: &GroupKey| {
            let states = backend.groups(&key.topic.namespace().clone()).await.unwrap();
            let state = states.into_iter().find(|state| state.key == *key).unwrap();
            (state.waiting, state.in_flight, state.delivered)
        };
        assert_eq!([state_of(&key).await, state_of(&other).await], [(0, 1, 2), (0, 3, 0)]);
        assert!(backend.nack(&key, second, Duration::ZERO).await.unwrap());
        assert_eq!(bodies(&*backend, &key, 9).await, ["2"]);
        assert_eq!(backend.ack(&other, &of_other).await.unwrap(), 3);
    });
}

#[test]
fn what_is_acknowledged_is_gone_and_what_is_not_comes_again() {
    on_each(|backend| async move {
        let key = queue_of("a", "t", "q");
        backend.subscribe(&key).await.unwrap();
        backend.publish(&key.topic, message("1")).await.unwrap();
        let first = backend.claim(&key, now(1)).await.unwrap().remove(0);
        assert_eq!((first.attempt, first.message.headers.len()), (1, 1));
        assert!(backend.nack(&key, first.token, Duration::from_millis(80)).await.unwrap());
        assert_eq!(backend.ack(&key, &[first.token]).await.unwrap(), 0, "it is nobody's any more");
        assert!(bodies(&*backend, &key, 1).await.is_empty(), "not yet");
        let wait = Claim { wait: Duration::from_secs(20), ..now(1) };
        let began = std::time::Instant::now();
        let second = backend.claim(&key, wait).await.unwrap().remove(0);
        assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
        assert_eq!((second.attempt, &second.message.id), (2, &first.message.id));
        assert_eq!(backend.ack(&key, &[second.token]).await.unwrap(), 1);
        assert_eq!(backend.ack(&key, &[second.token]).await.unwrap(), 0);
        let state = state(&*backend, &key).await;
        assert_eq!((state.waiting, state.in_flight, state.bytes), (0, 0, 0));
        assert_eq!((state.delivered, state.failed), (1, 1));
    });
}

#[test]
fn what_nobody_heard_is_as_if_it_had_not_been_claimed() {
    on_each(|backend| async move {
        let key = queue_of("a", "t", "q");
        backend.subscribe(&key).await.unwrap();
        for body in ["1", "2"] {
            backend.publish(&key.topic, message(body)).await.unwrap();
        }
        let taken = backend.claim(&key, now(1)).await.unwrap().remove(0);
        assert!(backend.release(&key, taken.token).await.unwrap());
        assert!(!backend.release(&key, taken.token).await.unwrap(), "it is nobody's any more");
        let again = backend.claim(&key, now(1)).await.unwrap().remove(0);
        assert_eq!(
            (again.attempt, &again.message.id),
            (1, &taken.message.id),
            "the first is the first again"
        );
        assert_eq!(backend.ack(&key, &[again.token]).await.unwrap(), 1);
        let state = state(&*backend, &key).await;
        assert_eq!((state.waiting, state.in_flight, state.delivered, state.failed), (1, 0, 1, 0));
        // Whoever waits for a message hears of one that is given back.
        let other = backend.claim(&key, now(1)).await.unwrap().remove(0);
        let wait = Claim { wait: Duration::from_secs(20), ..now(1) };
        let (waited, released) = tokio::join!(backend.claim(&key, wait), backend.release(&key, other.token));
        assert!(released.unwrap());
        assert_eq!((waited.unwrap().remove(0).attempt, other.attempt), (1, 1));
        let none = queue_of("a", "none", "q");
        assert!(matches!(backend.release(&none, other.token).await, Err(Error::Unknown)));
    });
}

#[test]
fn a_lease_that_runs_out_gives_the_message_back() {
    on_each(|backend| async move {
        let key = queue_of("a", "t", "q");
        backend.subscribe(&key).await.unwrap();
        backend.publish(&key.topic, message("1")).await.unwrap();
        let short = Claim { lease: Duration::from_millis(50), ..now(1) };
        let lost = backend.claim(&key, short).await.unwrap().remove(0);
        let wait = Claim { wait: Duration::from_secs(20), ..now(1) };
        let again = backend.claim(&key, wait).await.unwrap().remove(0);
        assert_eq!((again.attempt, &again.message.id), (2, &lost.message.id));
        assert_eq!(backend.ack(&key, &[lost.token]).await.unwrap(), 0);
        assert!(!backend.nack(&key, lost.token, Duration::ZERO).await.unwrap());
        assert!(!backend.bury(&key, lost.token, "late", true).await.unwrap());
        assert_eq!(backend.ack(&key, &[again.token]).await.unwrap(), 1);
    });
}

#[test]
fn whoever_waits_is_woken_by_what_is_published() {
    on_each(|backend| async move {
        let key = queue_of("a", "t", "q");
        backend.subscribe(&key).await.unwrap();
        let wait = Claim { wait: Duration::from_secs(20), ..now(1) };
        let claims: Vec<_> = (0..3)
            .map(|_| {
                let (backend, key) = (Arc::clone(&backend), key.clone());
                tokio::spawn(async move { backend.claim(&key, wait).await.unwrap() })
            })
            .collect();
        for body in ["1", "2", "3"] {
            backend.publish(&key.topic, message(body)).await.unwrap();
        }
        let mut got = Vec::new();
        for claim in claims {
            let claimed = tokio::time::timeout(Duration::from_secs(10), claim).await.unwrap().unwrap();
            got.extend(claimed.into_iter().map(|claimed| claimed.message.body.clone()));
        }
        got.sort();
        assert_eq!(got, ["1", "2", "3"]);
        let none = Claim { wait: Duration::from_millis(30), ..now(1) };
        assert!(backend.claim(&key, none).await.unwrap().is_empty());
    });
}

#[test]
fn a_full_group_is_named_and_then_nobody_has_the_message() {
    on_each(|backend| async move {
        let (slow, fast) = (queue_of("a", "t", "slow"), queue_of("a", "t", "fast"));
        backend.subscribe(&slow).await.unwrap();
        for body in ["1", "2", "3", "4"] {
            backend.publish(&slow.topic, message(body)).await.unwrap();
        }
        backend.subscribe(&fast).await.unwrap();
        assert_eq!(backend.publish(&slow.topic, message("5")).await, Err(Error::Full("slow".to_owned())));
        assert!(bodies(&*backend, &fast, 9).await.is_empty());
        // What is being delivered counts until it is done.
        let first = backend.claim(&slow, now(1)).await.unwrap().remove(0);
        assert!(backend.publish(&slow.topic, message("5")).await.is_err());
        backend.ack(&slow, &[first.token]).await.unwrap();
        assert_eq!(backend.publish(&slow.topic, message("5")).await, Ok(2));
    });
}

#[test]
fn bytes_are_bounded_for_a_group_a_namespace_and_all() {
    on_each(|backend| async move {
        let large = || message(vec![b'x'; 5 << 10]);
        let keys: Vec<_> = ["one", "two", "three"].iter().map(|topic| queue_of("a", topic, "q")).collect();
        let others: Vec<_> = ["one", "two"].iter().map(|topic| queue_of("b", topic, "q")).collect();
        for key in keys.iter().chain(&others) {
            backend.subscribe(key).await.unwrap();
        }
        backend.publish(&keys[0].topic, large()).await.unwrap();
        assert_eq!(backend.publish(&keys[0].topic, large()).await, Err(Error::Full("q".to_owned())));
        backend.publish(&keys[1].topic, large()).await.unwrap();
        assert_eq!(backend.publish(&keys[2].topic, large()).await, Err(Error::NamespaceFull));
        // Another namespace has its share whatever this one took, and no more.
        backend.publish(&others[0].topic, large()).await.unwrap();
        assert_eq!(backend.publish(&others[1].topic, large()).await, Err(Error::Busy));
        // A group that goes, and a message that is done, give their bytes back.
        backend.unsubscribe(&keys[0]).await.unwrap();
        let claimed = backend.claim(&keys[1], now(1)).await.unwrap().remove(0);
        backend.ack(&keys[1], &[claimed.token]).await.unwrap();
        backend.publish(&others[1].topic, large()).await.unwrap();
    });
}

#[test]
fn dead_letters_are_kept_and_can_be_sent_again_or_deleted() {
    on_each(|backend| async move {
        let key = queue_of("a", "t", "q");
        backend.subscribe(&key).await.unwrap();
        let bury = async |body: &'static str, keep: bool| {
            backend.publish(&key.topic, message(body)).await.unwrap();
            let claimed = backend.claim(&key, now(1)).await.unwrap().remove(0);
            assert!(backend.bury(&key, claimed.token, &format!("no {body}"), keep).await.unwrap());
        };
        for body in ["1", "2", "3", "4"] {
            bury(body, true).await;
        }
        bury("5", false).await;
        let space = namespace("a");
        let all = Filter::default();
        let dead = backend.dead(&space, &all, 9).await.unwrap();
        // The oldest made room, the last was not to be kept.
        let reasons: Vec<_> = dead.iter().map(|dead| (dead.reason.as_str(), dead.attempts)).collect();
        assert_eq!(reasons, [("no 2", 1), ("no 3", 1), ("no 4", 1)]);
        assert_eq!(backend.dead(&space, &all, 1).await.unwrap().len(), 1);
        let counted = state(&*backend, &key).await;
        assert_eq!((counted.dead, counted.dropped, counted.waiting, counted.bytes), (3, 2, 0, 0));

        for (space, filter) in [
            ("b", Filter::default()),
            ("a", Filter { topic: Some("u".to_owned()), ..Filter::default() }),
            ("a", Filter { queue: Some("p".to_owned()), ..Filter::default() }),
            ("a", Filter { ids: vec!["x".to_owned()], ..Filter::default() }),
        ] {
            assert!(backend.dead(&namespace(space), &filter, 9).await.unwrap().is_empty());
            assert_eq!(backend.redrive(&namespace(space), &filter).await, Ok(0));
            assert_eq!(backend.discard(&namespace(space), &filter).await, Ok(0));
        }
        let one = Filter { ids: vec![dead[1].message.id.clone()], ..Filter::default() };
        assert_eq!(backend.redrive(&space, &one).await, Ok(1));
        let again = backend.claim(&key, now(9)).await.unwrap();
        assert_eq!((again.len(), &again[0].message.body[..], again[0].attempt), (1, &b"3"[..], 1));
        let queue = Filter { queue: Some("q".to_owned()), topic: Some("t".to_owned()), ..Filter::default() };
        assert_eq!(backend.discard(&space, &queue).await, Ok(2));
        assert!(backend.dead(&space, &all, 9).await.unwrap().is_empty());
    });
}

#[test]
fn a_full_group_takes_back_what_it_has_room_for() {
    on_each(|backend| async move {
        let key = queue_of("a", "t", "q");
        backend.subscribe(&key).await.unwrap();
        for body in ["1", "2"] {
            backend.publish(&key.topic, message(body)).await.unwrap();
            let claimed = backend.claim(&key, now(1)).await.unwrap().remove(0);
            backend.bury(&key, claimed.token, "no", true).await.unwrap();
        }
        for body in ["3", "4", "5"] {
            backend.publish(&key.topic, message(body)).await.unwrap();
        }
        assert_eq!(backend.redrive(&namespace("a"), &Filter::default()).await, Ok(1));
        assert_eq!(backend.dead(&namespace("a"), &Filter::default(), 9).await.unwrap().len(), 1);
        assert_eq!(bodies(&*backend, &key, 9).await, ["3", "4", "5", "1"]);
    });
}

#[test]
fn groups_are_bounded_and_go_when_nobody_asks() {
    on_each(|backend| async move {
        let keys: Vec<_> = (0..4).map(|number| queue_of("a", &format!("t{number}"), "q")).collect();
        for key in &keys {
            backend.subscribe(key).await.unwrap();
            backend.subscribe(key).await.unwrap();
        }
        let fifth = queue_of("a", "t0", "other");
        assert_eq!(backend.subscribe(&fifth).await, Err(Error::Groups(4)));
        backend.publish(&keys[1].topic, message("lost")).await.unwrap();
        assert_eq!(backend.sweep().await, Ok(0));
        let since = std::time::Instant::now();
        let mut gone = 0;
        while gone < 3 {
            assert!(bodies(&*backend, &keys[0], 1).await.is_empty(), "asking keeps it");
            gone += backend.sweep().await.unwrap();
            assert!(since.elapsed() < Duration::from_secs(20), "{gone} went");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let left = backend.groups(&namespace("a")).await.unwrap();
        assert_eq!(left.iter().map(|state| &state.key).collect::<Vec<_>>(), [&keys[0]]);
        assert_eq!(backend.claim(&keys[1], now(1)).await, Err(Error::Unknown));
        assert!(backend.metrics().contains("micro_broker_groups_gone_total 3\n"));
        backend.subscribe(&fifth).await.unwrap();
    });
}

#[test]
fn no_name_means_another_group() {
    on_each(|backend| async move {
        let queues = [
            "foo", "foobar", "foo:", ":foo", "{foo}", "}", "foo\0", "foo\n", "*", "[f]oo", "fo?", "f", "q",
            "a/q/66", "é", " ",
        ];
        // So many groups has a namespace; a namespace may be the beginning of another.
        for (number, four) in queues.chunks(4).enumerate() {
            let spaces = [format!("s{number}"), format!("s{number}-b")];
            for (space, queue) in spaces.iter().flat_map(|space| four.iter().map(move |queue| (space, queue)))
            {
                backend.subscribe(&queue_of(space, "foo", queue)).await.unwrap();
            }
            for (at, space) in spaces.iter().enumerate() {
                let topic = TopicKey::new(&namespace(space), "foo").unwrap();
                assert_eq!(backend.publish(&topic, message(space.clone())).await, Ok(4));
                let beside = TopicKey::new(&namespace(space), "fo").unwrap();
                assert_eq!(backend.publish(&beside, message("other")).await, Ok(0));
                for queue in four {
                    let key = queue_of(space, "foo", queue);
                    assert_eq!(bodies(&*backend, &key, 9).await, [space.as_str()], "{queue:?}");
                    backend.unsubscribe(&key).await.unwrap();
                    assert_eq!(backend.claim(&key, now(1)).await, Err(Error::Unknown));
                }
                assert!(backend.groups(&namespace(space)).await.unwrap().is_empty());
                let others = backend.groups(&namespace(&spaces[1 - at])).await.unwrap();
                assert_eq!(others.len(), if at == 0 { 4 } else { 0 });
            }
        }
    });
}

#[test]
fn a_claim_that_nobody_waits_for_any_more_keeps_nothing() {
    on_each(|backend| async move {
        let key = queue_of("a", "t", "q");
        backend.subscribe(&key).await.unwrap();
        let wait = Claim { wait: Duration::from_secs(20), ..now(1) };
        for round in 0..20 {
            let own = (Arc::clone(&backend), key.clone());
            let claim = tokio::spawn(async move { own.0.claim(&own.1, wait).await });
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            backend.publish(&key.topic, message(round.to_string())).await.unwrap();
            claim.abort();
            let claimed = match claim.await {
                Ok(claimed) => claimed.unwrap(),
                Err(_) => backend.claim(&key, wait).await.unwrap(),
            };
            assert_eq!((claimed.len(), claimed[0].attempt), (1, 1), "a lease lasts a minute");
            assert_eq!(backend.ack(&key, &[claimed[0].token]).await.unwrap(), 1);
        }
    });
}

#[test]
fn what_it_keeps_comes_back_whole() {
    on_each(|backend| async move {
        let key = queue_of("a", "t", "q");
        backend.subscribe(&key).await.unwrap();
        let headers = vec![("A".to_owned(), "1\n\"é".to_owned()), ("A".to_owned(), String::new())];
        let sent = Message {
            headers,
            codec: Codec::Protobuf,
            from: Some("orders".to_owned()),
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            ..message((0..=255).collect::<Vec<u8>>())
        };
        backend.publish(&key.topic, sent.clone()).await.unwrap();
        let claimed = backend.claim(&key, now(1)).await.unwrap().remove(0);
        assert_eq!(*claimed.message, sent);
        backend.bury(&key, claimed.token, &"é\0".repeat(2_000), true).await.unwrap();
        let dead = backend.dead(&namespace("a"), &Filter::default(), 1).await.unwrap().remove(0);
        assert_eq!((&*dead.message, dead.reason.as_str()), (&sent, "é\0".repeat(500).as_str()));
        backend.check().await.unwrap();
    });
}
