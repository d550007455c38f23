//! Several processes on one server, and what happens when one of them is no more.

use super::*;
use crate::redis::server::{prefix, remove_all, shared};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_hands_over_what_it_had() {
    let Some(process) = Process::start(&[]) else { return };
    let dying = Redis::open(&config(process.url())).await.unwrap();
    let living = Redis::open(&config(process.url())).await.unwrap();
    let own = queue("q");
    for (broker, node) in [(&dying, "n1"), (&living, "n2")] {
        broker.subscribe(&own).await.unwrap();
        broker.subscribe(&fan_out(node)).await.unwrap();
    }
    assert_eq!(dying.publish(&own.topic, message("1")).await, Ok(3));
    let held = dying.claim(&own, claim(1, WITHIN)).await.unwrap().remove(0);
    assert!(living.claim(&own, claim(1, Duration::ZERO)).await.unwrap().is_empty());
    drop(dying);
    // The lease of the message is an hour, that of the node five seconds.
    let again = living.claim(&own, claim(1, Duration::from_secs(10))).await.unwrap().remove(0);
    assert_eq!((again.attempt, &again.message.id), (2, &held.message.id));
    assert_eq!(living.ack(&own, &[held.token]).await.unwrap(), 0, "it is nobody's any more");
    assert_eq!(living.ack(&own, &[again.token]).await.unwrap(), 1);
    assert_eq!(state(&living, &own).await.unwrap().failed, 1);
    let deadline = Instant::now() + WITHIN;
    while state(&living, &fan_out("n1")).await.is_some() {
        assert!(Instant::now() < deadline, "its fan-out group stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(living.publish(&own.topic, message("2")).await, Ok(2));
    assert_eq!(drain(&living, &fan_out("n2")).await.len(), 2, "its own stays");
    // Started again it is another process, and the group is a new one.
    let reborn = Redis::open(&config(process.url())).await.unwrap();
    reborn.subscribe(&fan_out("n1")).await.unwrap();
    assert_eq!(living.publish(&own.topic, message("3")).await, Ok(3));
    assert_eq!(drain(&reborn, &fan_out("n1")).await, HashMap::from([("3".to_owned(), 1)]));
}

/// A process that starts anew within its lease takes its fan-out group over, and it does not go with the old one.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_again_keeps_its_fan_out_group() {
    let Some(process) = Process::start(&[]) else { return };
    let witness = Redis::open(&config(process.url())).await.unwrap();
    let old = Redis::open(&config(process.url())).await.unwrap();
    let (own, gone) = (fan_out("n1"), fan_out("n3"));
    for key in [&own, &gone] {
        old.subscribe(key).await.unwrap();
    }
    old.publish(&own.topic, message("1")).await.unwrap();
    drop(old);
    let new = Redis::open(&config(process.url())).await.unwrap();
    new.subscribe(&own).await.unwrap();
    let deadline = Instant::now() + WITHIN;
    while state(&witness, &gone).await.is_some() {
        assert!(Instant::now() < deadline, "the group that nobody took over stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(drain(&new, &own).await, HashMap::from([("1".to_owned(), 1)]));
}

/// While the server is away nobody can say that it lives, which proves nobody dead.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_a_nodes_lease_ends_no_node() {
    let Some(process) = Process::start(&[]) else { return };
    let config = config(process.url());
    let (one, two) = (Redis::open(&config).await.unwrap(), Redis::open(&config).await.unwrap());
    let nodes = [(&one, fan_out("n1")), (&two, fan_out("n2"))];
    for (broker, key) in &nodes {
        broker.subscribe(key).await.unwrap();
    }
    let topic = nodes[0].1.topic.clone();
    assert_eq!(one.publish(&topic, message("1")).await, Ok(2));
    let held = two.claim(&nodes[1].1, claim(1, WITHIN)).await.unwrap().remove(0);
    process.stall();
    tokio::time::sleep(Duration::from_secs(7)).await;
    process.go_on();
    for (broker, _) in &nodes {
        recovered(broker).await;
    }
    // Long enough for a node that were taken for dead to be buried.
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        let states = one.groups(&Namespace::default()).await.unwrap();
        assert_eq!(states.len(), 2, "{states:?}");
        assert_eq!(states[1].in_flight, 1, "{states:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(two.ack(&nodes[1].1, &[held.token]).await.unwrap(), 1);
    assert_eq!(drain(&one, &nodes[0].1).await, HashMap::from([("1".to_owned(), 1)]));
}

/// What waits for a platform that is switched off is not forgotten by it.
#[tokio::test(flavor = "multi_thread")]
async fn days_on_which_no_node_ran_do_not_count() {
    const DAY: u64 = 24 * 3_600 * 1_000;
    let Some(process) = Process::start(&[]) else { return };
    let client = ::redis::Client::open(process.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut set = async |now: u64| {
        let mut set = ::redis::cmd("SET");
        set.arg("micro:clock").arg(now).query_async::<()>(&mut connection).await.unwrap();
    };
    let clock = "local now = tonumber(redis.call('GET', 'micro:clock'))\n";
    set(DAY).await;
    let broker = Redis::open_by(&config(process.url()), clock).await.unwrap();
    let own = queue("q");
    broker.subscribe(&own).await.unwrap();
    broker.publish(&own.topic, message("1")).await.unwrap();
    drop(broker);
    set(4 * DAY).await;
    let mut again = config(process.url());
    again.bounds.unseen_max = Duration::from_secs(60);
    let broker = Redis::open_by(&again, clock).await.unwrap();
    assert_eq!(broker.sweep().await, Ok(0));
    assert_eq!(state(&broker, &own).await.unwrap().waiting, 1);
    // Those on which one ran do.
    for second in (0..=63).step_by(3) {
        assert_eq!(broker.sweep().await, Ok(u64::from(second == 63)), "after {second} s");
        set(4 * DAY + (second + 3) * 1_000).await;
        broker.inner.renew().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_a_queue_and_each_has_its_own_fan_out() {
    const MESSAGES: usize = 300;
    let Some(url) = shared() else { return };
    let mut config = RedisBrokerConfig::new(&url);
    config.server.prefix = prefix();
    let nodes = [Redis::open(&config).await.unwrap(), Redis::open(&config).await.unwrap()];
    let own = queue("q");
    for (broker, node) in nodes.iter().zip(["n1", "n2"]) {
        broker.subscribe(&own).await.unwrap();
        broker.subscribe(&fan_out(node)).await.unwrap();
    }
    let (handled, mut handling) = tokio::sync::mpsc::unbounded_channel();
    let consumers: Vec<_> = (0..6)
        .map(|number| {
            let (broker, own, handled) = (Arc::clone(&nodes[number % 2]), own.clone(), handled.clone());
            tokio::spawn(async move {
                loop {
                    for claimed in broker.claim(&own, claim(3, WITHIN)).await.unwrap() {
                        handled.send(text(&claimed)).unwrap();
                        assert_eq!(broker.ack(&own, &[claimed.token]).await.unwrap(), 1);
                    }
                }
            })
        })
        .collect();
    let publishers = (0..MESSAGES).map(|number| {
        let broker = &nodes[number % 2];
        let topic = &own.topic;
        async move { broker.publish(topic, message(number.to_string())).await.unwrap() }
    });
    futures::future::join_all(publishers).await;
    let mut seen = HashSet::new();
    while seen.len() < MESSAGES {
        let next = tokio::time::timeout(WITHIN, handling.recv()).await.unwrap().unwrap();
        assert!(seen.insert(next.clone()), "{next} was handled twice");
    }
    consumers.iter().for_each(tokio::task::JoinHandle::abort);
    for (broker, node) in nodes.iter().zip(["n1", "n2"]) {
        assert_eq!(drain(broker, &fan_out(node)).await.len(), MESSAGES);
    }
    remove_all(&url, &config.server.prefix).await;
}
