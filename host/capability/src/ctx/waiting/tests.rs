//! Imports that are started, as a guest starts them that waits for none.

use std::time::Duration;

use futures::poll;
use micro_api::manifest::{BrokerGrants, EventsGrants, Grants};
use wasmtime::component::ResourceTable;
use wasmtime::{Config, Engine, Store};

use super::*;
use crate::Ctx;
use crate::bindings::platform::micro::platform as wit;
use crate::tests::{State, World, context};

/// An instance that is in a call and was granted everything.
async fn in_an_instance(test: impl AsyncFnOnce(&Accessor<State, HasCapability>)) {
    let (world, all) = (World::new(), vec!["*".to_owned()]);
    let grants = Grants {
        blob: true,
        broker: BrokerGrants { publish: all.clone() },
        call: all.clone(),
        config: all.clone(),
        events: EventsGrants { publish: all.clone(), consume: all },
        registry: Some("read".to_owned()),
        store: vec!["own".to_owned()],
        sync: true,
        ..Grants::default()
    };
    let mut ctx = Ctx::new(world.guest(grants));
    ctx.begin(context(Duration::from_secs(10)));
    let mut config = Config::new();
    config.concurrency_support(true).wasm_component_model_async(true);
    let mut store = Store::new(&Engine::new(&config).unwrap(), State(ctx, ResourceTable::new()));
    let done = store.run_concurrent(async |accessor| {
        test(&accessor.with_getter::<HasCapability>(State::capability)).await;
    });
    done.await.unwrap();
}

fn options(labels: Vec<(String, String)>) -> wit::client::Options {
    let selector = wit::client::Selector::Random;
    wit::client::Options { metadata: Vec::new(), timeout: None, version: None, labels, selector }
}

fn is_refused<R>(answer: wasmtime::Result<Result<R, types::Error>>) -> bool {
    let error = answer.unwrap().err();
    error.is_some_and(|error| error.code == 429 && error.detail.starts_with("limit: calls: "))
}

#[tokio::test]
async fn calls_hold_their_bytes_until_they_end() {
    in_an_instance(async |store| {
        let call = |service: &str, bytes: usize| {
            let (service, endpoint) = (service.to_owned(), "Greeter.Hello".to_owned());
            let (codec, options) = (types::Codec::Json, options(Vec::new()));
            let body = vec![0; bytes];
            Box::pin(<HasCapability as wit::client::HostWithStore<State>>::call(
                store, service, endpoint, codec, body, options,
            ))
        };
        let mut waiting = Vec::new();
        for _ in 0..16 {
            let mut slow = call("slow", 4 << 20);
            assert!(poll!(&mut slow).is_pending(), "there is room for {}", waiting.len());
            waiting.push(slow);
        }
        assert!(is_refused(call("other", 16 << 20).await), "more than is left");
        for _ in 0..2 {
            // What ends gives back what it held.
            assert_eq!(call("other", 8 << 20).await.unwrap().unwrap().len(), 8 << 20);
        }
        let set = |value: Vec<u8>| {
            <HasCapability as wit::store::HostWithStore<State>>::set(store, "k".to_owned(), value, None)
        };
        set(vec![1]).await.unwrap().unwrap();
        assert!(is_refused(set(vec![0; 16 << 20]).await), "the imports have one room together");
        // What the guest gives up gives it back, too: here is a call that needs all of it.
        waiting.clear();
        assert!(!is_refused(call("other", IMPORTS_BYTES_MAX).await));
    })
    .await;
}

#[test]
fn a_call_that_holds_nothing_counts_too() {
    let room = Room::new(3 * BYTES_MIN);
    let held: Vec<_> = (0..3).map(|_| room.take(0).unwrap()).collect();
    assert!(room.take(0).is_none());
    drop(held);
    assert!(room.take(usize::MAX).is_some(), "what is larger than all takes all");
}

/// Calls each import; all must be refused for the bytes of their arguments.
macro_rules! refused {
    ($store:ident, $($interface:ident::$function:ident($($argument:expr),*);)*) => {$(
        let answer = <HasCapability as wit::$interface::HostWithStore<State>>::$function(
            $store, $($argument),*
        );
        let call = stringify!($interface::$function($($argument),*));
        assert!(is_refused(answer.await), "{call} is not counted");
    )*};
}

/// More than [`fill`] leaves room for.
const LONG: usize = 64 << 10;

fn long() -> String {
    "x".repeat(LONG)
}

fn bytes() -> Vec<u8> {
    vec![0; LONG]
}

fn short() -> String {
    "x".to_owned()
}

/// Pairs that hold nothing but themselves.
fn many() -> Vec<(String, String)> {
    vec![(String::new(), String::new()); LONG / size_of::<(String, String)>()]
}

fn range(prefix: Option<String>, suffix: Option<String>, after: Option<String>) -> wit::store::Range {
    wit::store::Range { prefix, suffix, after, limit: None, offset: 0 }
}

fn check(key: String, value: Option<Vec<u8>>) -> Vec<wit::store::Check> {
    vec![wit::store::Check { key, value }]
}

fn set(key: String, value: Vec<u8>) -> Vec<wit::store::Change> {
    let write = wit::store::Write { value, ttl: None };
    vec![wit::store::Change { key, action: wit::store::Action::Set(write) }]
}

fn message(header: Vec<(String, String)>, body: Vec<u8>) -> wit::broker::Message {
    wit::broker::Message { header, body }
}

/// Leaves room for calls with short arguments, and for none with a long one.
fn fill(store: &Accessor<State, HasCapability>) -> OwnedSemaphorePermit {
    let held = store.with(|mut access| access.get().imports.take(IMPORTS_BYTES_MAX - LONG * 3 / 4));
    held.unwrap()
}

#[tokio::test]
async fn each_argument_counts() {
    in_an_instance(async |store| {
        let _held = fill(store);
        refused!(store,
            store::get(long());
            store::set(long(), Vec::new(), None);
            store::set(short(), bytes(), None);
            store::delete(long());
            store::increment(long(), 1, None);
            store::commit(check(long(), None), Vec::new());
            store::commit(check(short(), Some(bytes())), Vec::new());
            store::commit(Vec::new(), set(long(), Vec::new()));
            store::commit(Vec::new(), set(short(), bytes()));
            store::read(range(Some(long()), None, None));
            store::read(range(None, Some(long()), None));
            store::list(range(None, None, Some(long())));
            blob::create(long(), short(), None, false);
            blob::create(short(), long(), None, false);
            blob::create(short(), short(), Some(long()), false);
            blob::write(1, bytes());
            blob::open(long(), 0, None);
            blob::stat(long());
            blob::url(long(), None);
            blob::delete(long());
            blob::list(long(), None, 1);
            blob::list(short(), Some(long()), 1);
            broker::publish(long(), message(Vec::new(), Vec::new()));
            broker::publish(short(), message(vec![(long(), short())], Vec::new()));
            broker::publish(short(), message(many(), Vec::new()));
            broker::publish(short(), message(Vec::new(), bytes()));
            config::get(long());
            config::secret(long());
            events::publish(long(), Vec::new(), Vec::new());
            events::publish(short(), vec![(short(), long())], Vec::new());
            events::publish(short(), Vec::new(), bytes());
            events::read(long(), None, 1);
            events::read(short(), Some(long()), 1);
            locks::acquire(long(), 1_000, 0);
            locks::renew(long(), short(), 1_000);
            locks::renew(short(), long(), 1_000);
            locks::release(long(), short());
            locks::release(short(), long());
            locks::campaign(long(), short(), 1_000, 0);
            locks::campaign(short(), long(), 1_000, 0);
            locks::leader(long());
            registry::get_service(long());
            registry::watch(Some(long()), None, 0);
            registry::watch(None, Some(long()), 0);
            streaming::send(bytes());
        );
    })
    .await;
}

#[tokio::test]
async fn each_argument_of_a_call_to_a_service_counts() {
    in_an_instance(async |store| {
        let _held = fill(store);
        let (json, no) = (types::Codec::Json, || options(Vec::new()));
        refused!(store,
            client::call(long(), short(), json, Vec::new(), no());
            client::call(short(), long(), json, Vec::new(), no());
            client::call(short(), short(), json, bytes(), no());
            client::call(short(), short(), json, Vec::new(), options(many()));
            client::open(long(), short(), json, None, no());
            client::open(short(), long(), json, None, no());
            client::open(short(), short(), json, Some(bytes()), no());
            client::open(short(), short(), json, None, options(many()));
            client::send(1, bytes());
        );
        let call = <HasCapability as wit::client::HostWithStore<State>>::call;
        assert_eq!(call(store, short(), short(), json, vec![1], no()).await.unwrap().unwrap(), [1]);
    })
    .await;
}
