use std::time::Duration;

use super::*;
use crate::api::{Pair, Response};
use crate::{Builder, Client, ClientNext, Endpoints, Next, broker, events, store};

/// `Echo.Call` answers with the key it got; `Echo.Fail` fails.
struct Echo;

impl Endpoints for Echo {
    fn names(&self) -> &'static [&'static str] {
        &["Echo.Call", "Echo.Fail"]
    }

    fn call<'a>(
        &'a self,
        _context: &'a Context,
        endpoint: &'a str,
        body: Vec<u8>,
    ) -> LocalFuture<'a, Result<Vec<u8>, Error>> {
        Box::pin(async move {
            let pair: Pair = crate::decode(endpoint, &body)?;
            match endpoint {
                "Echo.Call" => Ok(crate::encode(&Response::json(200, pair.key))),
                _ => Err(Error::conflict("echo", pair.key)),
            }
        })
    }
}

fn echo() -> Builder {
    Service::builder().name("echo").handler(Echo)
}

fn pair(key: &str) -> Pair {
    Pair { key: key.to_owned(), values: Vec::new() }
}

#[crate::wrapper]
async fn outer(ctx: &Context, mut request: Request, next: Next<'_>) -> Result<Vec<u8>, Error> {
    crate::info!("outer {} {}", request.service, request.endpoint);
    request.body = pair("wrapped").encode_to_vec();
    let reply = next.run(ctx, request).await;
    crate::info!("outer done");
    reply
}

#[crate::wrapper]
async fn inner(ctx: &Context, request: Request, next: Next<'_>) -> Result<Vec<u8>, Error> {
    crate::info!("inner");
    next.run(ctx, request).await
}

#[crate::wrapper]
async fn client_log(request: Request, next: ClientNext<'_>) -> Result<Vec<u8>, Error> {
    crate::info!("client request to service: {} endpoint: {}", request.service, request.endpoint);
    next.run(request).await
}

#[test]
fn wrappers_run_outermost_first() {
    let world = World::new();
    let service = echo().wrap(outer).wrap(inner).build();
    let reply: Response = world.call(&service, &Context::default(), "Echo.Call", &pair("x")).unwrap();
    assert_eq!(reply.body, "wrapped");
    assert_eq!(world.logs(), ["outer echo Echo.Call", "inner", "outer done"]);
}

#[test]
fn errors_pass_and_unknown_endpoints_are_404() {
    let world = World::new();
    let service = echo().build();
    let call =
        |endpoint| world.call::<Pair, Response>(&service, &Context::default(), endpoint, &pair("taken"));
    assert_eq!(call("Echo.Fail"), Err(Error::conflict("echo", "taken")));
    assert_eq!(call("Echo.Nope").unwrap_err().code, 404);
    let garbage = world.block_on(service.handle(&Context::default(), "Echo.Call", vec![0xff]));
    assert_eq!(garbage.unwrap_err().code, 400);
}

#[test]
fn clients_reach_services_and_fakes() {
    let world = World::new();
    world.serve("echo", echo().build());
    world.fake("other", |request: Pair| Ok(Response::json(201, request.key)));
    let client = Client::new("echo").wrap(client_log);
    let reply: Response = world.block_on(client.call("Echo.Call", &pair("a"))).unwrap();
    assert_eq!(reply.body, "a");
    let reply: Response = world.block_on(Client::new("other").call("Any.Thing", &pair("b"))).unwrap();
    assert_eq!(reply.status_code, 201);
    let missing = world.block_on(Client::new("none").call::<_, Response>("Any.Thing", &pair("c")));
    assert_eq!(missing.unwrap_err().detail, "service not found");
    assert_eq!(world.logs(), ["client request to service: echo endpoint: Echo.Call"]);
}

#[crate::test]
async fn the_store_keeps_orders_and_expires() -> Result<(), Error> {
    World::new();
    for key in ["b", "a/2", "a/1", "a/3"] {
        store::set(key, key).await?;
    }
    let range =
        store::Range { prefix: Some("a/".into()), after: Some("a/1".into()), ..store::Range::default() };
    assert_eq!(store::list(range.clone()).await?, ["a/2", "a/3"]);
    let limited = store::Range { limit: Some(1), ..range };
    assert_eq!(store::read(limited).await?[0].value, b"a/2");
    store::set_for("b", "gone", std::time::Duration::ZERO).await?;
    assert_eq!(store::get("b").await?, None);
    store::delete("a/1").await?;
    assert_eq!(store::get("a/1").await?, None);
    assert_eq!(store::get("").await.unwrap_err().code, 400);
    Ok(())
}

#[crate::test]
async fn what_is_published_is_noted() -> Result<(), Error> {
    let world = World::new();
    broker::publish("orders.created", &pair("a")).await?;
    let publisher = broker::Publisher::new("audit").header("Shop", "berlin").header("content-type", "forged");
    publisher.publish_json("{}").await?;
    for bad in ["", "a b", "orders.*", "a..b"] {
        assert_eq!(broker::publish(bad, &pair("a")).await.unwrap_err().code, 400, "{bad}");
    }
    let published = world.published();
    assert_eq!(published.len(), 2);
    assert_eq!(published[0].message::<Pair>()?, pair("a"));
    assert_eq!(published[0].header("content-type"), Some("application/protobuf"));
    assert_eq!((published[1].topic.as_str(), published[1].body.as_slice()), ("audit", &b"{}"[..]));
    assert_eq!(published[1].header("Content-Type"), Some("application/json"));
    assert_eq!(published[1].header("shop"), Some("berlin"));
    Ok(())
}

#[crate::test]
async fn events_are_kept_in_order() -> Result<(), Error> {
    let world = World::new();
    let id = events::publish("audit", &pair("a")).await?;
    let publisher =
        events::Publisher::new("audit").metadata("Shop", "berlin").metadata("Micro-Position", "9");
    assert_ne!(publisher.publish_json("{}").await?, id);
    let all = events::read("audit", 0, 1_000).await?;
    assert_eq!(all, world.events("audit"));
    assert_eq!(all.iter().map(|event| event.position).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((&all[0].id, all[0].message::<Pair>()?), (&id, pair("a")));
    assert_eq!(all[0].metadata["Content-Type"], "application/protobuf");
    let keys: Vec<_> = all[1].metadata.keys().map(String::as_str).collect();
    assert_eq!((keys, all[1].payload.as_slice()), (vec!["Content-Type", "Shop"], &b"{}"[..]));
    assert!(all[0].timestamp < all[1].timestamp);
    assert_eq!(events::read("audit", 0, 1).await?, all[..1]);
    assert_eq!(events::read("audit", 1, 9).await?, all[1..]);
    assert!(events::read("other", 0, 9).await?.is_empty());
    for (topic, code) in [("", 400), ("a b", 400), ("a.*", 400), ("audit.dead", 403)] {
        assert_eq!(events::publish(topic, &pair("a")).await.unwrap_err().code, code, "{topic}");
    }
    assert_eq!(events::read("audit", 0, 0).await.unwrap_err().code, 400);
    Ok(())
}

#[crate::test]
async fn the_store_counts_and_commits() -> Result<(), Error> {
    use std::time::Duration;
    World::new();
    assert_eq!(store::increment("n", 2).await?, 2);
    assert_eq!(store::increment("n", -3).await?, -1);
    assert_eq!(store::get("n").await?.map(|record| record.value), Some(b"-1".to_vec()));
    assert_eq!(store::increment_for("n", 1, Duration::ZERO).await?, 0, "made without an end");
    assert_eq!(store::increment_for("window", 1, Duration::from_secs(60)).await?, 1);
    assert_eq!(store::increment("window", 1).await?, 2);
    assert!(store::get("window").await?.and_then(|record| record.expiry).is_some());
    assert_eq!(store::increment_for("over", 1, Duration::ZERO).await?, 1);
    assert_eq!(store::increment("over", 1).await?, 1);
    store::set("n", "01").await?;
    assert_eq!(store::increment("n", 1).await.unwrap_err().code, 400);
    store::set("n", i64::MAX.to_string()).await?;
    assert_eq!(store::increment("n", 1).await.unwrap_err().code, 400);

    assert!(store::swap("lock", None, "me").await?);
    assert!(!store::swap("lock", None, "you").await?);
    assert!(!store::swap("lock", Some(b"you"), "you").await?);
    assert!(store::swap("lock", Some(b"me"), "you").await?);
    let both = store::Transaction::new().holds("lock", "you").absent("a");
    assert!(both.clone().set("a", "1").delete("lock").commit().await?);
    assert!(!both.set("b", "1").commit().await?);
    assert_eq!((store::get("lock").await?, store::get("b").await?), (None, None));
    let short = store::Transaction::new().set_for("short", "1", Duration::ZERO);
    assert!(short.commit().await?);
    assert_eq!(store::get("short").await?, None);
    let twice = store::Transaction::new().set("a", "1").delete("a");
    assert_eq!(twice.commit().await.unwrap_err().code, 400);
    let many = (0..101).fold(store::Transaction::new(), |all, n| all.absent(format!("k{n}")));
    assert_eq!(many.commit().await.unwrap_err().code, 400);
    Ok(())
}

#[crate::test]
async fn pages_come_one_after_the_other() -> Result<(), Error> {
    World::new();
    for number in 0..7 {
        store::set(&format!("k{number}"), "v").await?;
    }
    let range = store::Range { limit: Some(3), offset: 1, ..store::Range::default() };
    let mut pages = store::pages(range);
    let mut lengths = Vec::new();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await? {
        lengths.push(page.len());
        keys.extend(page.into_iter().map(|record| record.key));
    }
    assert_eq!(lengths, [3, 3]);
    assert_eq!(keys, ["k1", "k2", "k3", "k4", "k5", "k6"]);
    assert_eq!(pages.next().await?, None);
    Ok(())
}

#[test]
fn locks_are_held_once_and_leaders_are_known() {
    use std::time::Duration;

    use crate::sync::{Election, Lock};

    const TTL: Duration = Duration::from_secs(30);
    let world = World::new();
    world.block_on(async {
        let first = Lock::acquire("a", TTL, Duration::ZERO).await.unwrap();
        let taken = Lock::acquire("a", TTL, Duration::from_secs(1)).await.unwrap_err();
        assert_eq!((taken.code, taken.detail.as_str()), (408, "lock timeout"));
        let other = Lock::acquire("b", TTL, Duration::ZERO).await.unwrap();
        assert!(!Lock::from_token("a", other.token()).release().await.unwrap(), "a foreign token");
        assert!(first.renew(TTL).await.unwrap());
        world.expire_locks();
        assert!(!first.renew(TTL).await.unwrap());
        let second = Election::new("a", "two").campaign(Duration::ZERO).await.unwrap();
        assert!(second.fence() > first.fence());
        assert!(!first.release().await.unwrap());
        let election = Election::new("a", "three");
        assert_eq!(election.leader().await.unwrap().as_deref(), Some("two"));
        assert!(second.resign().await.unwrap());
        assert_eq!(election.leader().await.unwrap(), None);
        // It expires while another waits.
        let short = Lock::acquire("a", Duration::from_secs(1), Duration::ZERO).await.unwrap();
        let third = election.campaign(Duration::from_secs(2)).await.unwrap();
        assert!(third.fence() > short.fence() && !short.renew(TTL).await.unwrap());
        for (name, ttl) in
            [("", TTL), ("a\0", TTL), (&*"a".repeat(257), TTL), ("a", Duration::from_millis(999))]
        {
            assert_eq!(Lock::acquire(name, ttl, Duration::ZERO).await.unwrap_err().code, 400, "{name:?}");
        }
    });
}

#[test]
fn a_test_can_change_the_registry_and_watchers_go_on_where_they_were() {
    use crate::registry::{Action, Service, watch};
    let world = World::new();
    let service = |name: &str, version: &str| Service {
        name: name.into(),
        version: version.into(),
        ..Service::default()
    };
    world.register(service("a", "latest"));
    let first = world.block_on(watch(None, None, Duration::from_secs(30))).unwrap();
    assert!(first.reset && first.ready && first.changes.len() == 1);
    world.register(service("a", "latest"));
    world.register(service("b", "latest"));
    world.deregister("a");
    let next = world.block_on(watch(None, Some(&first.revision), Duration::ZERO)).unwrap();
    let told: Vec<_> =
        next.changes.iter().map(|change| (change.action, change.service.name.as_str())).collect();
    assert_eq!(told, [(Action::Update, "a"), (Action::Create, "b"), (Action::Delete, "a")]);
    assert!(!next.reset);
    let only = world.block_on(watch(Some("b"), Some(&first.revision), Duration::ZERO)).unwrap();
    assert_eq!(only.changes.len(), 1);
    let end = world.block_on(watch(None, Some(&next.revision), Duration::ZERO)).unwrap();
    assert!(end.changes.is_empty() && end.revision == next.revision);
}
