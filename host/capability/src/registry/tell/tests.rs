use std::collections::BTreeMap;

use super::*;
use crate::broker::{Claim, Group, GroupKey, Memory, MemoryConfig};

struct World {
    broker: Arc<Memory>,
    log: Arc<Log>,
    teller: Arc<Teller>,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn topic(namespace: &str) -> TopicKey {
    TopicKey::new(&namespace.parse().unwrap(), TOPIC).unwrap()
}

fn group(namespace: &str) -> GroupKey {
    GroupKey { topic: topic(namespace), group: Group::Queue("app".to_owned()) }
}

impl World {
    /// Services of `acme` and of `quiet` could listen; only `acme` has one that does.
    async fn new() -> Self {
        let broker = Arc::new(Memory::new(MemoryConfig::default()));
        let log = Arc::new(Log::new(Vec::new()));
        let teller = Teller::new(broker.clone(), Arc::clone(&log));
        for namespace in ["acme", "quiet"] {
            broker.subscribe(&group(namespace)).await.unwrap();
        }
        let other = TopicKey::new(&"quiet".parse().unwrap(), "orders").unwrap();
        teller.follow([&topic("acme"), &other].into_iter());
        let world = Self { broker, log, teller, stop: CancellationToken::new() };
        // What is there when the node begins is no change.
        world.there(&["old"]);
        world
    }

    fn run(&self) {
        tokio::spawn(Arc::clone(&self.teller).run(self.stop.clone()));
    }

    /// Makes these services, of both namespaces, all that is there.
    fn there(&self, names: &[&str]) {
        let all = names.iter().flat_map(|name| {
            let service =
                Service { name: (*name).to_owned(), version: "latest".to_owned(), ..Service::default() };
            let service = Arc::new(service);
            ["acme", "quiet"].map(|namespace| {
                let key = (namespace.parse().unwrap(), service.name.clone(), service.version.clone());
                (key, Arc::clone(&service))
            })
        });
        let all: BTreeMap<_, _> = all.collect();
        self.log.follow(|| all);
    }

    /// The next so many events of a namespace.
    async fn told(&self, namespace: &str, count: usize) -> Vec<(String, String)> {
        let mut told = Vec::new();
        let claim = Claim { max: 9, lease: Duration::from_secs(60), wait: Duration::from_secs(10) };
        while told.len() < count {
            let claimed = self.broker.claim(&group(namespace), claim).await.unwrap();
            assert!(!claimed.is_empty(), "{told:?}");
            for one in claimed {
                let event: serde_json::Value = serde_json::from_slice(&one.message.body).unwrap();
                assert_eq!(event["id"], one.message.id);
                assert!(event["timestamp"].as_i64().unwrap() > 0);
                assert_eq!(one.message.from.as_deref(), Some("registry"));
                let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
                told.push((text(&event["type"]), text(&event["service"]["name"])));
                self.broker.ack(&group(namespace), &[one.token]).await.unwrap();
            }
        }
        told
    }

    async fn waiting(&self, namespace: &str) -> u64 {
        self.broker.groups(&namespace.parse().unwrap()).await.unwrap()[0].waiting
    }
}

fn pair(action: &str, name: &str) -> (String, String) {
    (action.to_owned(), name.to_owned())
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

#[tokio::test]
async fn each_change_is_told_once_to_who_listens() {
    let world = World::new().await;
    world.teller.lead(later(), Duration::MAX);
    world.run();
    // The task begins at what is there by then.
    tokio::task::yield_now().await;
    world.there(&["new", "old"]);
    world.teller.lead(later(), Duration::ZERO);
    world.there(&["new"]);
    let told = world.told("acme", 2).await;
    assert_eq!(told, [pair("create", "new"), pair("delete", "old")]);
    assert_eq!((world.waiting("acme").await, world.waiting("quiet").await), (0, 0));
}

#[tokio::test]
async fn who_takes_over_tells_what_nobody_was_sure_to_tell() {
    let world = World::new().await;
    world.run();
    tokio::task::yield_now().await;
    world.there(&["old", "unsure"]);
    world.teller.rest();
    assert_eq!(world.waiting("acme").await, 0, "another node tells");
    world.teller.lead(later(), Duration::from_secs(10));
    assert_eq!(world.told("acme", 1).await, [pair("create", "unsure")]);
    // A lease that is over is none.
    world.teller.lead(Instant::now(), Duration::ZERO);
    tokio::task::yield_now().await;
    world.there(&["old"]);
    tokio::task::yield_now().await;
    assert_eq!(world.waiting("acme").await, 0);
    world.teller.lead(later(), Duration::ZERO);
    assert_eq!(world.told("acme", 1).await.last(), Some(&pair("delete", "unsure")));
}
