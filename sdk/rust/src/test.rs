//! The platform in memory, for tests that run natively: no wasm, no server.
//!
//! ```
//! use micro_sdk::{store, test::World};
//!
//! let world = World::new();
//! world.block_on(async {
//!     store::set("mykey", "Hi there").await?;
//!     assert!(store::get("mykey").await?.is_some());
//!     Ok::<_, micro_sdk::Error>(())
//! })?;
//! # Ok::<_, micro_sdk::Error>(())
//! ```
//!
//! Each capability is there: records, blobs, messages, events, configuration and secrets, locks, the registry, other
//! services, outbound HTTP and the log; who calls stands in the [`Context`](crate::Context). All of it is in memory, and the
//! store also in a file where the environment says `MICRO_STORE=file:FOLDER`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::Thread;

use prost::Message;

use crate::client::Codec;
use crate::streaming::Streams;
use crate::{Context, Error, LocalFuture, Request, Service};

mod blob;
mod broker;
mod config;
mod events;
mod locks;
mod registry;
mod store;
mod streaming;
#[cfg(test)]
mod tests;

pub(crate) use blob::check_key as check_blob_key;
pub use broker::Published;
pub(crate) use broker::check as check_message;
pub(crate) use locks::take as take_lock;
pub use streaming::Streamed;

#[cfg(feature = "http")]
type HttpAnswer = Rc<dyn Fn(crate::http::Request) -> Result<crate::http::Response, Error>>;
type Answer = LocalFuture<'static, Result<Vec<u8>, Error>>;

/// Which sides of an endpoint are streams.
type Describe = dyn Fn(&str) -> Option<Streams>;

/// A service that clients can call.
#[derive(Clone)]
pub(crate) struct Callee {
    pub(crate) answer: Rc<dyn Fn(Request) -> Answer>,
    /// None where it streams as the caller likes.
    pub(crate) streams: Rc<Describe>,
}

/// What the stand-in for the platform knows on this thread.
#[derive(Default)]
pub(crate) struct State {
    /// Where `store` is, after a restart too.
    place: store::Place,
    services: HashMap<String, Callee>,
    pub(crate) blobs: blob::Blobs,
    pub(crate) published: Vec<Published>,
    pub(crate) config: config::Document,
    pub(crate) locks: locks::Locks,
    pub(crate) events: events::Log,
    pub(crate) store: store::Table,
    pub(crate) registry: registry::Registry,
    pub(crate) logs: Vec<String>,
    #[cfg(feature = "http")]
    pub(crate) http: Option<HttpAnswer>,
}

impl State {
    /// An empty one with its records in `place`; `empty` forgets those that are there.
    #[expect(clippy::panic, reason = "a test whose store cannot be had cannot run")]
    fn open(place: Result<store::Place, String>, empty: bool) -> Self {
        let opened = place.and_then(|place| Ok((store::Table::open(&place, empty)?, place)));
        match opened {
            Ok((store, place)) => Self { place, store, ..Self::default() },
            Err(text) => panic!("{text}"),
        }
    }

    pub(crate) fn service(&self, name: &str) -> Option<Callee> {
        self.services.get(name).cloned()
    }
}

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State::open(store::Place::of_environment(), true));
}

pub(crate) fn with_state<T>(body: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(body)
}

/// A platform of this thread's own, empty when it is made. A test runs on one thread, so tests do not meet.
#[derive(Debug)]
pub struct World(());

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Makes the platform of this thread an empty one: no services, no records, no messages, no log lines.
    ///
    /// The store is in memory, or where the environment variable `MICRO_STORE` says: see [`World::with_store`].
    ///
    /// # Panics
    /// When `MICRO_STORE` names no store of a test, or its file cannot be opened.
    pub fn new() -> Self {
        Self::open(store::Place::of_environment(), true)
    }

    /// As [`World::new`], with the store that is named: `memory`, or `file:FOLDER` for a file in that folder, one for each
    /// test, whose records [`World::restart`] keeps.
    ///
    /// # Panics
    /// As [`World::new`].
    pub fn with_store(place: &str) -> Self {
        Self::open(store::Place::parse(place), true)
    }

    /// The platform is stopped and started: what was in memory alone is gone, be it services, messages or locks. Records
    /// in a file are there.
    ///
    /// # Panics
    /// When the file cannot be read.
    pub fn restart(&self) {
        let place = with_state(|state| state.place.clone());
        Self::open(Ok(place), false);
    }

    fn open(place: Result<store::Place, String>, empty: bool) -> Self {
        // The file that is open is let go of first: it may be the same.
        STATE.set(State::default());
        STATE.set(State::open(place, empty));
        Self(())
    }

    /// Lets clients call a service by this name.
    pub fn serve(&self, name: &str, service: Service) {
        let described = service.clone();
        let streams = move |endpoint: &str| Some(described.streams(endpoint));
        self.insert(name, Codec::Protobuf, streams, move |request| {
            let service = service.clone();
            Box::pin(async move {
                let context = Context { metadata: request.options.metadata, ..Context::default() };
                service.handle(&context, &request.endpoint, request.body).await
            })
        });
    }

    /// Lets clients call a service whose every endpoint answers with `answer`.
    pub fn fake<Req, Rsp>(&self, name: &str, answer: impl Fn(Req) -> Result<Rsp, Error> + 'static)
    where
        Req: Message + Default + 'static,
        Rsp: Message + 'static,
    {
        self.insert(name, Codec::Protobuf, unary, move |request| {
            let reply = crate::decode(&request.endpoint, &request.body).and_then(&answer);
            Box::pin(async move { reply.map(|message| message.encode_to_vec()) })
        });
    }

    /// Lets clients call a service by JSON: `answer` has the endpoint and the text of the request, and gives that of the
    /// reply. Only the platform translates between JSON and protobuf, so in a test a service answers one of them.
    pub fn fake_json(&self, name: &str, answer: impl Fn(&str, &str) -> Result<String, Error> + 'static) {
        self.insert(name, Codec::Json, unary, move |request| {
            let text = String::from_utf8(request.body)
                .map_err(|_| Error::bad_request("go.micro.client", "the request is no text"));
            let reply = text.and_then(|text| answer(&request.endpoint, &text)).map(String::into_bytes);
            Box::pin(async move { reply })
        });
    }

    pub(crate) fn insert(
        &self,
        name: &str,
        codec: Codec,
        streams: impl Fn(&str) -> Option<Streams> + 'static,
        answer: impl Fn(Request) -> Answer + 'static,
    ) {
        let answer = move |request: Request| {
            if request.codec == codec {
                return answer(request);
            }
            let detail = format!("{} answers {codec:?} in this test: see World::fake_json", request.service);
            Box::pin(async move { Err(Error::new("go.micro.client", 415, detail)) }) as Answer
        };
        let callee = Callee { answer: Rc::new(answer), streams: Rc::new(streams) };
        with_state(|state| state.services.insert(name.to_owned(), callee));
    }

    /// Answers all outbound HTTP requests.
    #[cfg(feature = "http")]
    pub fn http(
        &self,
        answer: impl Fn(crate::http::Request) -> Result<crate::http::Response, Error> + 'static,
    ) {
        with_state(|state| state.http = Some(Rc::new(answer)));
    }

    /// Makes the JSON object `document` the configuration that [`config`](crate::config) reads.
    ///
    /// # Panics
    /// When it is no JSON object.
    pub fn set_config(&self, document: &str) {
        with_state(|state| state.config.set(document));
    }

    /// Sets a secret.
    pub fn set_secret(&self, path: &str, text: &str) {
        with_state(|state| state.config.set_secret(path, text));
    }

    /// Lets go of all locks, as if their time were over: their tokens hold nothing any more.
    pub fn expire_locks(&self) {
        with_state(|state| state.locks.expire_all());
    }

    /// Puts a version of a service into the registry, over what was there.
    pub fn register(&self, service: crate::registry::Service) {
        with_state(|state| state.registry.put(service));
    }

    /// Takes all versions of a service out of the registry.
    pub fn deregister(&self, name: &str) {
        with_state(|state| state.registry.remove(name));
    }

    /// The messages published so far, oldest first. Nobody gets them: deliver one with [`World::call`], as the platform
    /// would.
    pub fn published(&self) -> Vec<Published> {
        with_state(|state| state.published.clone())
    }

    /// The events of a topic, oldest first. No group gets them: deliver one with [`World::call`], as the platform would.
    pub fn events(&self, topic: &str) -> Vec<crate::events::Event> {
        with_state(|state| state.events.all(topic).to_vec())
    }

    /// The lines logged so far, without their level.
    pub fn logs(&self) -> Vec<String> {
        with_state(|state| state.logs.clone())
    }

    /// Calls a service as the platform would: through its wrappers, with encoded messages.
    ///
    /// # Errors
    /// What the service answers, and 500 when its reply is not a `Rsp`.
    pub fn call<Req: Message, Rsp: Message + Default>(
        &self,
        service: &Service,
        context: &Context,
        endpoint: &str,
        request: &Req,
    ) -> Result<Rsp, Error> {
        let reply = self.block_on(service.handle(context, endpoint, request.encode_to_vec()))?;
        Rsp::decode(reply.as_slice()).map_err(|error| {
            Error::internal_server_error("test", format!("the reply of {endpoint}: {error}"))
        })
    }

    /// Runs a future to its end on this thread.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        block_on(future)
    }
}

/// The endpoints of a fake that has no streams.
fn unary(_endpoint: &str) -> Option<Streams> {
    Some(Streams::default())
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end on this thread. The attribute [`test`](macro@crate::test) does it for a whole test.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut task = TaskContext::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut task) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
