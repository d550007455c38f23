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

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::Thread;

use prost::Message;

use crate::{Context, Error, LocalFuture, Request, Service};

mod blob;
mod broker;
mod config;
mod events;
mod locks;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use blob::check_key as check_blob_key;
pub use broker::Published;
pub(crate) use broker::check as check_message;
pub(crate) use locks::take as take_lock;

#[cfg(feature = "http")]
type HttpAnswer = Rc<dyn Fn(crate::http::Request) -> Result<crate::http::Response, Error>>;
type Answer = Rc<dyn Fn(Request) -> LocalFuture<'static, Result<Vec<u8>, Error>>>;

/// What the stand-in for the platform knows on this thread.
#[derive(Default)]
pub(crate) struct State {
    services: HashMap<String, Answer>,
    pub(crate) blobs: blob::Blobs,
    pub(crate) published: Vec<Published>,
    pub(crate) config: config::Document,
    pub(crate) locks: locks::Locks,
    pub(crate) events: events::Log,
    pub(crate) store: store::Table,
    pub(crate) registry: Vec<crate::registry::Service>,
    pub(crate) logs: Vec<String>,
    #[cfg(feature = "http")]
    pub(crate) http: Option<HttpAnswer>,
}

impl State {
    pub(crate) fn service(&self, name: &str) -> Option<Answer> {
        self.services.get(name).cloned()
    }
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
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
    pub fn new() -> Self {
        STATE.set(State::default());
        Self(())
    }

    /// Lets clients call a service by this name.
    pub fn serve(&self, name: &str, service: Service) {
        self.insert(name, move |request| {
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
        self.insert(name, move |request| {
            let reply = crate::decode(&request.endpoint, &request.body).and_then(&answer);
            Box::pin(async move { reply.map(|message| message.encode_to_vec()) })
        });
    }

    fn insert(
        &self,
        name: &str,
        answer: impl Fn(Request) -> LocalFuture<'static, Result<Vec<u8>, Error>> + 'static,
    ) {
        with_state(|state| state.services.insert(name.to_owned(), Rc::new(answer)));
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

    /// Puts a service into the registry.
    pub fn register(&self, service: crate::registry::Service) {
        with_state(|state| state.registry.push(service));
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
