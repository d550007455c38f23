//! Delivery end to end within the process: a log, consumers, and a service that answers as told.

use std::collections::{BTreeMap, HashSet};
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{Either, select};
use micro_api::Error;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::*;
use crate::Scope;
use crate::broker::{Call, Deliver, Source, Target, Undelivered};
use crate::client::Codec;
use crate::tests::{World, scope};

/// A service that notes its calls and refuses the bodies that name a code, `409` say. It may be called so many times
/// more, where there is a budget.
#[derive(Default)]
struct Service(Mutex<Vec<Call>>, Mutex<Option<usize>>);

impl Service {
    fn bodies(&self) -> Vec<Bytes> {
        self.0.lock().iter().map(|call| call.request.clone()).collect()
    }

    async fn called(&self, count: usize) -> Vec<Call> {
        let since = Instant::now();
        while self.0.lock().len() < count {
            assert!(since.elapsed() < Duration::from_secs(20), "{:?}", self.bodies());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.0.lock().clone()
    }
}

#[async_trait]
impl Deliver for Service {
    fn ready(&self, _: &Scope) -> Result<(), Error> {
        if *self.1.lock() == Some(0) { Err(used_up()) } else { Ok(()) }
    }

    async fn deliver(&self, call: Call) -> Result<Bytes, Undelivered> {
        if let Some(left) = &mut *self.1.lock() {
            *left = left.checked_sub(1).ok_or_else(|| Undelivered::Waits(used_up()))?;
        }
        let refused = std::str::from_utf8(&call.request).ok().and_then(|text| text.parse().ok());
        self.0.lock().push(call);
        refused.map_or(Ok(Bytes::new()), |code| Err(Error::new("counter", code, "no").into()))
    }
}

fn used_up() -> Error {
    Error::new("gateway", 429, "limit: requests_per_month")
}

struct Fixture {
    backend: Arc<Sqlite>,
    service: Arc<Service>,
    consumers: Arc<Consumers>,
    _world: World,
}

impl Fixture {
    fn new() -> Self {
        let (world, service) = (World::new(), Arc::<Service>::default());
        let backend = Sqlite::open(&SqliteConfig::memory()).unwrap();
        let logs = Arc::clone(&world.capabilities.logs);
        let consumers = Consumers::new(backend.clone(), service.clone(), logs);
        Self { backend, service, consumers, _world: world }
    }

    async fn publish(&self, payload: &'static str) -> Uuid {
        self.publish_with(payload, &[]).await
    }

    async fn publish_with(&self, payload: &'static str, metadata: &[(&str, &str)]) -> Uuid {
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let (id, metadata) = (Uuid::new_v4(), metadata.collect::<BTreeMap<_, _>>());
        self.backend.append(&topic(), vec![New { id, metadata, payload: payload.into() }]).await.unwrap();
        id
    }

    async fn dead(&self, count: usize) -> Vec<Event> {
        let since = Instant::now();
        loop {
            let page = self.backend.read(&topic().dead().unwrap(), From::Start, 9).await.unwrap();
            if page.events.len() >= count {
                return page.events;
            }
            assert!(since.elapsed() < Duration::from_secs(20), "{page:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn topic() -> TopicKey {
    TopicKey::named(&scope().namespace, "orders").unwrap()
}

fn consumer(deployment: &str, group: &str, start: From) -> Consumer {
    let target = Target {
        scope: scope(),
        endpoint: "Counter.Fold".to_owned(),
        concurrency: 1,
        retries: 1,
        ack_wait: Duration::from_secs(20),
        delay: Duration::from_millis(5),
    };
    let group = GroupKey::named(topic(), group).unwrap();
    Consumer { deployment: deployment.to_owned(), group, start, target }
}

fn one(consumer: Consumer) -> HashSet<Consumer> {
    HashSet::from([consumer])
}

#[tokio::test]
async fn what_the_namespace_has_no_budget_for_waits() {
    let fixture = Fixture::new();
    *fixture.service.1.lock() = Some(0);
    let mut own = consumer("d1", "counter", From::Start);
    // The first failure would be the last.
    own.target.retries = 0;
    own.target.concurrency = 2;
    fixture.consumers.follow(one(own));
    for payload in ["a", "b", "c", "d", "e"] {
        fixture.publish(payload).await;
    }
    *fixture.service.1.lock() = Some(3);
    fixture.service.called(3).await;
    *fixture.service.1.lock() = None;
    let calls = fixture.service.called(5).await;
    let delivery = |call: &Call| call.metadata.iter().find(|(key, _)| key == "Micro-Delivery").cloned();
    assert!(calls.iter().all(|call| delivery(call).is_some_and(|(_, number)| number == "1")), "{calls:?}");
    let mut bodies = fixture.service.bodies();
    bodies.sort_unstable();
    assert_eq!(bodies, ["a", "b", "c", "d", "e"], "each once");
    let dead = fixture.backend.read(&topic().dead().unwrap(), From::Start, 9).await.unwrap();
    assert!(dead.events.is_empty());
}

#[tokio::test]
async fn an_event_becomes_a_call_and_a_groups_place_is_kept() {
    let fixture = Fixture::new();
    // Before the topic is there.
    fixture.consumers.follow(one(consumer("d1", "g", From::End)));
    assert!(fixture.backend.topics(topic().namespace()).await.unwrap().is_empty());
    let kind = [("content-type", "application/protobuf"), ("Color", "red")];
    let id = fixture.publish_with("a", &kind).await.to_string();
    fixture.publish("b").await;
    let calls = fixture.service.called(2).await;
    let said = |call: &Call, key: &str| {
        let found = call.metadata.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    assert_eq!((calls[0].codec, calls[1].codec), (Codec::Protobuf, Codec::Json));
    assert_eq!((calls[0].endpoint.as_str(), &calls[0].request_id), ("Counter.Fold", &id));
    let keys = ["Micro-Topic", "Micro-Event-Id", "Micro-Position", "Micro-Delivery", "Color"];
    assert_eq!(keys.map(|key| said(&calls[0], key)), ["orders", id.as_str(), "1", "1", "red"]);
    assert_eq!(said(&calls[1], "Micro-Position"), "2");

    // Another deployment goes on where this one was, and another group begins anew.
    fixture.consumers.follow(one(consumer("d2", "g", From::Start)));
    fixture.publish("c").await;
    assert_eq!(fixture.service.called(3).await[2].request, "c");
    fixture
        .consumers
        .follow(HashSet::from([consumer("d2", "g", From::Start), consumer("d2", "replay", From::Start)]));
    fixture.service.called(6).await;
    assert_eq!(fixture.service.bodies(), ["a", "b", "c", "a", "b", "c"]);

    let stop = CancellationToken::new();
    stop.cancel();
    Arc::clone(&fixture.consumers).run(stop).await;
    fixture.consumers.follow(one(consumer("d3", "late", From::Start)));
    assert!(fixture.consumers.running.lock().is_empty(), "nothing starts after the end");
}

#[tokio::test]
async fn what_fails_is_tried_again_and_then_dead() {
    let fixture = Fixture::new();
    fixture.consumers.follow(one(consumer("d1", "g", From::Start)));
    fixture.publish("500").await;
    let since = Instant::now();
    let dead = fixture.dead(1).await;
    assert!(since.elapsed() < Duration::from_secs(5), "a retry waits no longer than its delay");
    assert_eq!(fixture.service.bodies(), ["500", "500"]);
    assert_eq!(
        (dead[0].payload.clone(), dead[0].metadata["Micro-Dead-Attempts"].as_str()),
        ("500".into(), "2")
    );
    assert_eq!(dead[0].metadata["Micro-Dead-Reason"], "500 counter: no");
    // What is no good is not tried again, and what comes after it is delivered.
    fixture.publish("409").await;
    fixture.publish("a").await;
    let dead = fixture.dead(2).await;
    assert_eq!(
        (dead[1].payload.clone(), dead[1].metadata["Micro-Dead-Attempts"].as_str()),
        ("409".into(), "1")
    );
    fixture.service.called(4).await;
    assert_eq!(fixture.service.bodies(), ["500", "500", "409", "a"]);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_given_back() {
    let fixture = Fixture::new();
    fixture.publish("a").await;
    let mut wanted = consumer("d1", "g", From::Start);
    wanted.target.retries = 0;
    let source = consume::OfGroup::new(fixture.backend.clone(), &wanted, TaskTracker::new());
    let minute = Duration::from_secs(60);
    for _ in 0..20 {
        // Polled once, and dropped while the log works. A log that was quick enough has answered somebody.
        let claim = Source::claim(&source, 1, minute, minute);
        if let Either::Left((taken, _)) = select(claim, ready(())).await {
            for delivery in taken.unwrap() {
                source.unheard(delivery.token).await.unwrap();
            }
        }
    }
    let since = Instant::now();
    fixture.consumers.follow(one(wanted));
    fixture.service.called(1).await;
    assert!(since.elapsed() < minute, "not only after its lease");
    let last = fixture.service.0.lock()[0].metadata.last().cloned();
    assert_eq!(last, Some(("Micro-Delivery".to_owned(), "1".to_owned())), "nobody had it before");
}
