//! Delivery end to end within the process: backend, pumps, and a service that answers as told.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use micro_api::Error;
use micro_api::name::Namespace;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::contract::message;
use super::*;
use crate::Scope;
use crate::tests::{World, scope};

type Answer = Box<dyn Fn(&Call) -> Result<(), Error> + Send + Sync>;

/// A service that notes its calls, and answers once it is let.
struct Service {
    calls: Mutex<Vec<Call>>,
    answer: Answer,
    gate: Semaphore,
    /// Calls that may still be made, where there is a budget.
    budget: Mutex<Option<usize>>,
}

impl Service {
    fn new(gate: usize, answer: impl Fn(&Call) -> Result<(), Error> + Send + Sync + 'static) -> Arc<Self> {
        let (answer, gate) = (Box::new(answer), Semaphore::new(gate));
        Arc::new(Self { calls: Mutex::default(), answer, gate, budget: Mutex::default() })
    }

    fn bodies(&self) -> Vec<Bytes> {
        self.calls.lock().iter().map(|call| call.request.clone()).collect()
    }
}

#[async_trait]
impl Deliver for Service {
    fn ready(&self, _: &Scope) -> Result<(), Error> {
        if *self.budget.lock() == Some(0) { Err(used_up()) } else { Ok(()) }
    }

    async fn deliver(&self, call: Call) -> Result<Bytes, Undelivered> {
        if let Some(left) = &mut *self.budget.lock() {
            *left = left.checked_sub(1).ok_or_else(|| Undelivered::Waits(used_up()))?;
        }
        self.calls.lock().push(call.clone());
        self.gate.acquire().await.unwrap().forget();
        Ok((self.answer)(&call).map(|()| Bytes::new())?)
    }
}

fn used_up() -> Error {
    Error::new("gateway", 429, "limit: requests_per_month")
}

struct Fixture {
    backend: Arc<Memory>,
    broker: Arc<Broker>,
    _world: World,
}

impl Fixture {
    fn new(service: &Arc<Service>) -> Self {
        let world = World::new();
        let backend = Arc::new(Memory::new(MemoryConfig::default()));
        let broker = Broker::new(backend.clone(), service.clone(), Arc::clone(&world.capabilities.logs));
        Self { backend, broker, _world: world }
    }

    async fn publish(&self, body: &'static str) {
        self.backend.publish(&topic(), message(body)).await.unwrap();
    }

    async fn state(&self) -> GroupState {
        self.backend.groups(&Namespace::default()).await.unwrap().remove(0)
    }

    async fn until(&self, what: &str, is: impl Fn(&GroupState) -> bool) -> GroupState {
        let since = Instant::now();
        loop {
            let state = self.state().await;
            if is(&state) {
                return state;
            }
            assert!(since.elapsed() < Duration::from_secs(20), "{what}: {state:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn topic() -> TopicKey {
    TopicKey::new(&Namespace::default(), "orders").unwrap()
}

fn subscription(deployment: &str) -> Subscription {
    let target = Target {
        scope: scope(),
        endpoint: "Mailer.Send".to_owned(),
        concurrency: 1,
        retries: 2,
        ack_wait: Duration::from_secs(20),
        delay: Duration::from_millis(1),
    };
    let group = GroupKey { topic: topic(), group: Group::of(&target.scope, None, "n1") };
    Subscription { deployment: deployment.to_owned(), group, target, dead_letter: true }
}

fn one(subscription: Subscription) -> HashSet<Subscription> {
    HashSet::from([subscription])
}

/// Returns once nothing is left that could run. The test's clock must be paused: it moves only when everything waits.
async fn all_wait() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

async fn many(service: &Service, count: usize) {
    let since = Instant::now();
    while service.calls.lock().len() < count {
        assert!(since.elapsed() < Duration::from_secs(20), "{:?}", service.bodies());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_message_becomes_a_call_and_is_done_with_the_answer() {
    let service = Service::new(0, |_| Ok(()));
    let fixture = Fixture::new(&service);
    fixture.broker.follow(one(subscription("d1"))).await;
    let sent = Message { from: Some("orders".to_owned()), ..message("{}") };
    let id = sent.id.clone();
    fixture.backend.publish(&topic(), sent).await.unwrap();
    many(&service, 1).await;
    assert_eq!(fixture.state().await.in_flight, 1, "not done before the answer");
    service.gate.add_permits(1);
    let state = fixture.until("it is done", |state| state.delivered == 1).await;
    assert_eq!((state.in_flight, state.waiting, state.failed), (0, 0, 0));
    let call = service.calls.lock()[0].clone();
    assert_eq!(
        (call.endpoint.as_str(), call.scope, call.request_id.as_str()),
        ("Mailer.Send", scope(), id.as_str())
    );
    let wanted = [
        ("Color", "red"),
        ("Micro-Topic", "orders"),
        ("Micro-Message-Id", id.as_str()),
        ("Micro-Delivery", "1"),
        ("Micro-From-Service", "orders"),
    ];
    assert_eq!(call.metadata, wanted.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_panic_ends_one_delivery_and_not_the_next() {
    let service = Service::new(99, |call| match &call.request[..] {
        b"bad" => panic!("as a test wants it"),
        _ => Ok(()),
    });
    let fixture = Fixture::new(&service);
    fixture.broker.follow(one(subscription("d1"))).await;
    fixture.publish("bad").await;
    many(&service, 1).await;
    fixture.publish("good").await;
    fixture.until("the next is done", |state| state.delivered == 1).await;
    assert_eq!(service.bodies(), ["bad", "good"]);
}

#[tokio::test]
async fn errors_of_the_service_are_tried_again_and_then_given_up() {
    let service = Service::new(99, |_| Err(Error::internal("mailer", "smtp is down")));
    let fixture = Fixture::new(&service);
    fixture.broker.follow(one(subscription("d1"))).await;
    fixture.publish("1").await;
    let state = fixture.until("it is given up", |state| state.dead == 1).await;
    assert_eq!((state.failed, state.waiting, state.in_flight), (3, 0, 0));
    let attempts: Vec<_> = service.calls.lock().iter().map(|call| call.metadata[3].1.clone()).collect();
    assert_eq!(attempts, ["1", "2", "3"], "once, and twice again");
    let dead = fixture.backend.dead(&Namespace::default(), &Filter::default(), 9).await.unwrap();
    assert_eq!(dead[0].reason, "500 mailer: smtp is down");
    fixture.backend.redrive(&Namespace::default(), &Filter::default()).await.unwrap();
    fixture.until("it is given up again", |state| state.failed == 6).await;
}

#[tokio::test]
async fn a_message_that_is_no_good_is_given_up_at_once() {
    let service = Service::new(99, |call| match &call.request[..] {
        b"bad" => Err(Error::bad_request("mailer", "no address")),
        _ => Ok(()),
    });
    let fixture = Fixture::new(&service);
    let keeps_none = Subscription { dead_letter: false, ..subscription("d1") };
    fixture.broker.follow(one(keeps_none)).await;
    fixture.publish("bad").await;
    fixture.publish("good").await;
    let state = fixture.until("both are done", |state| state.delivered == 1 && state.failed == 1).await;
    assert_eq!((state.dead, state.dropped, service.bodies().len()), (0, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_once_than_the_subscription_says() {
    let service = Service::new(0, |_| Ok(()));
    let fixture = Fixture::new(&service);
    let mut two = subscription("d1");
    two.target.concurrency = 2;
    fixture.broker.follow(one(two)).await;
    for body in ["1", "2", "3", "4", "5"] {
        fixture.publish(body).await;
    }
    many(&service, 2).await;
    all_wait().await;
    assert_eq!(service.bodies(), ["1", "2"]);
    let state = fixture.state().await;
    assert_eq!((state.in_flight, state.waiting), (2, 3), "what cannot run is not taken");
    service.gate.add_permits(1);
    many(&service, 3).await;
    service.gate.add_permits(4);
    fixture.until("all are done", |state| state.delivered == 5).await;
}

/// A budget of the namespace ends in the middle of what was taken.
#[tokio::test]
async fn what_the_namespace_has_no_budget_for_waits_and_is_not_held_against_the_message() {
    let service = Service::new(99, |_| Ok(()));
    *service.budget.lock() = Some(0);
    let fixture = Fixture::new(&service);
    let mut all = subscription("d1");
    (all.target.concurrency, all.target.retries) = (4, 0);
    fixture.broker.follow(one(all)).await;
    for body in ["1", "2", "3", "4", "5"] {
        fixture.publish(body).await;
    }
    let state = fixture.until("all wait", |state| state.waiting == 5).await;
    assert_eq!((state.in_flight, service.bodies().len()), (0, 0), "none is even taken");
    *service.budget.lock() = Some(2);
    let rest = |state: &GroupState| state.delivered == 2 && state.waiting == 3 && state.in_flight == 0;
    let state = fixture.until("the rest waits", rest).await;
    assert_eq!((state.failed, state.dead), (0, 0));
    *service.budget.lock() = None;
    let state = fixture.until("all are done", |state| state.delivered == 5).await;
    assert_eq!((state.failed, state.dead), (0, 0));
    let calls = service.calls.lock();
    assert!(calls.iter().all(|call| call.metadata.contains(&("Micro-Delivery".to_owned(), "1".to_owned()))));
    let mut bodies: Vec<_> = calls.iter().map(|call| call.request.clone()).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, ["1", "2", "3", "4", "5"], "each once");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_failure() {
    let service = Service::new(0, |_| Ok(()));
    let fixture = Fixture::new(&service);
    let mut short = subscription("d1");
    short.target.ack_wait = Duration::from_millis(30);
    short.target.retries = 0;
    fixture.broker.follow(one(short)).await;
    fixture.publish("1").await;
    fixture.until("it is given up", |state| state.dead == 1).await;
    let dead = fixture.backend.dead(&Namespace::default(), &Filter::default(), 9).await.unwrap();
    assert!(dead[0].reason.contains("no answer within ack_wait"), "{}", dead[0].reason);
}

#[tokio::test(start_paused = true)]
async fn an_update_finishes_what_runs_and_hands_the_rest_over() {
    let service = Service::new(0, |_| Ok(()));
    let fixture = Fixture::new(&service);
    fixture.broker.follow(one(subscription("d1"))).await;
    fixture.publish("1").await;
    fixture.publish("2").await;
    many(&service, 1).await;
    let mut next = subscription("d2");
    next.target.endpoint = "Mailer.SendNow".to_owned();
    fixture.broker.release(&one(next.clone()));
    fixture.broker.follow(one(next)).await;
    many(&service, 2).await;
    service.gate.add_permits(2);
    fixture.until("both are done", |state| state.delivered == 2 && state.failed == 0).await;
    let endpoints: Vec<_> = service.calls.lock().iter().map(|call| call.endpoint.clone()).collect();
    assert_eq!(endpoints, ["Mailer.Send", "Mailer.SendNow"]);
    // Nobody serves it: messages wait.
    fixture.broker.follow(HashSet::new()).await;
    fixture.publish("3").await;
    all_wait().await;
    assert_eq!((service.bodies().len(), fixture.state().await.waiting), (2, 1));
}

#[tokio::test]
async fn what_the_old_revision_does_not_know_goes_to_the_new_one() {
    let service = Service::new(0, |call| match call.endpoint.as_str() {
        "Mailer.Send" => Err(Error::not_found("mailer", "endpoint not found")),
        _ => Ok(()),
    });
    let fixture = Fixture::new(&service);
    fixture.broker.follow(one(subscription("d1"))).await;
    fixture.publish("1").await;
    many(&service, 1).await;
    let mut next = subscription("d2");
    next.target.endpoint = "Mailer.SendNow".to_owned();
    fixture.broker.follow(one(next)).await;
    service.gate.add_permits(2);
    let state = fixture.until("it is done", |state| state.delivered == 1).await;
    assert_eq!((state.dead, state.failed), (0, 1));
}

#[tokio::test]
async fn a_fan_out_group_lives_as_long_as_somebody_of_this_node_wants_it() {
    let service = Service::new(99, |_| Ok(()));
    let fixture = Fixture::new(&service);
    let fan_out = |deployment: &str| {
        let mut subscription = subscription(deployment);
        subscription.group.group = Group::of(&scope(), Some(""), "n1");
        subscription
    };
    fixture.broker.follow(one(fan_out("d1"))).await;
    fixture.publish("1").await;
    fixture.until("it is heard", |state| state.delivered == 1).await;
    fixture.broker.follow(one(fan_out("d2"))).await;
    fixture.publish("2").await;
    fixture.until("an update keeps the group", |state| state.delivered == 2).await;
    fixture.broker.follow(HashSet::new()).await;
    assert!(fixture.backend.groups(&Namespace::default()).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_what_runs() {
    let service = Service::new(0, |_| Ok(()));
    let fixture = Fixture::new(&service);
    fixture.broker.follow(one(subscription("d1"))).await;
    fixture.publish("1").await;
    many(&service, 1).await;
    let stop = CancellationToken::new();
    let run = tokio::spawn(Arc::clone(&fixture.broker).run(stop.clone()));
    stop.cancel();
    all_wait().await;
    assert!(!run.is_finished());
    service.gate.add_permits(1);
    tokio::time::timeout(Duration::from_secs(10), run).await.unwrap().unwrap();
    assert_eq!(fixture.state().await.delivered, 1);
}
