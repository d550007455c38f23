//! The capabilities' part of an instance's state.

mod waiting;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use micro_api::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::AsContextMut;
use wasmtime::component::{Access, GuestTaskId};

use self::waiting::Room;
pub(crate) use self::waiting::{optional, pairs, waits, waits_in_stream};
use crate::blob::Handles;
use crate::client::Conversations;
use crate::log::{Output, Stream, Tap};
use crate::streaming::{Near, Streamed};
use crate::{Context, Guest, HasCapability, View};

/// Time that host calls get while no call runs: code that a component runs as it is instantiated.
const START_BUDGET: Duration = Duration::from_secs(1);

/// Bytes of messages that wait for room in the streams of one instance, beside what the streams hold themselves. Whoever
/// reads them may be slow, so they leave room for other imports.
const MESSAGES_BYTES_MAX: usize = 32 << 20;

/// One per `wasmtime::Store`.
pub struct Ctx {
    guest: Arc<Guest>,
    /// Calls running in the instance, oldest first; more than one only in an instance that is reused concurrently.
    calls: Vec<Active>,
    next: u64,
    tap: Arc<Tap>,
    pub(crate) outbound: Arc<Outbound>,
    /// Compare-and-swap handles of `wasi:keyvalue`.
    pub(crate) swaps: crate::store::wasi::Swaps,
    pub(crate) blobs: Arc<Handles>,
    /// Bounds the resources of `wasi:blobstore`.
    pub(crate) blobstore: crate::blob::wasi::Places,
    pub(crate) conversations: Arc<Conversations>,
    /// What imports of `micro:platform` hold while they wait.
    imports: Room,
    /// What messages hold among these.
    messages: Room,
}

/// Outbound HTTP of one instance.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) permits: Arc<Semaphore>,
    /// The log says already, for this call, that one was refused.
    pub(crate) said: AtomicBool,
}

#[derive(Debug)]
struct Active {
    id: CallId,
    task: Option<GuestTaskId>,
    context: Arc<Context>,
    stream: Option<Arc<Near>>,
}

/// Names a call within its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallId(u64);

impl std::fmt::Debug for Ctx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ctx")
            .field("guest", &self.guest.scope)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

impl Ctx {
    /// The state of a new instance.
    pub fn new(guest: Arc<Guest>) -> Self {
        let tap = Tap::new(Arc::clone(&guest));
        let permits = Arc::new(Semaphore::new(guest.outbound_instance_max));
        let outbound = Arc::new(Outbound { permits, said: AtomicBool::new(false) });
        Self {
            guest,
            calls: Vec::new(),
            next: 0,
            tap,
            outbound,
            swaps: Default::default(),
            blobs: Arc::default(),
            blobstore: Default::default(),
            conversations: Arc::default(),
            imports: Room::of_imports(),
            messages: Room::new(MESSAGES_BYTES_MAX),
        }
    }

    /// A call starts: host calls from now on are made in its name and end by its deadline. Log budgets start anew.
    pub fn begin(&mut self, context: Arc<Context>) -> CallId {
        let id = CallId(self.next);
        self.next = self.next.wrapping_add(1);
        self.tap.begin(&context, self.calls.is_empty());
        self.outbound.said.store(false, Ordering::Relaxed);
        self.calls.push(Active { id, task: None, context, stream: None });
        id
    }

    /// Says which component-model task runs the call, so that in an instance with several calls each host call finds
    /// its own. Without it such host calls carry no account and no metadata.
    pub fn bind(&mut self, call: CallId, task: GuestTaskId) {
        if let Some(active) = self.calls.iter_mut().find(|active| active.id == call) {
            active.task = Some(task);
        }
    }

    /// The call streams: `near` is its end of the messages.
    pub fn attach(&mut self, call: CallId, near: Arc<Near>) {
        if let Some(active) = self.calls.iter_mut().find(|active| active.id == call) {
            active.stream = Some(near);
        }
    }

    /// The call is over. What it wrote to stdout without a newline is logged as a line; blobs and streams that it left
    /// open are closed, unless another call runs that may be the one who opened them.
    pub fn end(&mut self, call: CallId) {
        self.calls.retain(|active| active.id != call);
        if self.calls.is_empty() {
            self.tap.flush();
            self.blobs.clear();
            self.conversations.clear();
        }
    }

    /// The revision that the instance belongs to.
    pub fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }

    /// The guest's standard output, split into lines of its log.
    pub fn stdout(&self) -> Output {
        Output::new(Arc::clone(&self.tap), Stream::Stdout)
    }

    /// The guest's standard error.
    pub fn stderr(&self) -> Output {
        Output::new(Arc::clone(&self.tap), Stream::Stderr)
    }

    pub(crate) fn tap(&self) -> &Arc<Tap> {
        &self.tap
    }

    /// What a host call needs, whoever of the running calls makes it.
    pub(crate) fn handle(&self) -> Handle {
        match self.calls.as_slice() {
            [only] => self.handle_in(only),
            calls => {
                let stream = if calls.is_empty() { Streamed::No } else { Streamed::Unclear };
                self.handle_with(Arc::new(nobodys(calls)), stream)
            }
        }
    }

    fn handle_in(&self, active: &Active) -> Handle {
        let stream = active.stream.as_ref().map_or(Streamed::No, |near| Streamed::Yes(Arc::clone(near)));
        self.handle_with(Arc::clone(&active.context), stream)
    }

    fn handle_with(&self, context: Arc<Context>, stream: Streamed) -> Handle {
        let (guest, blobs) = (Arc::clone(&self.guest), Arc::clone(&self.blobs));
        let (conversations, messages) = (Arc::clone(&self.conversations), self.messages.clone());
        Handle { guest, context, blobs, conversations, messages, stream }
    }

    fn handle_of(&self, stack: impl Iterator<Item = GuestTaskId>) -> Handle {
        for task in stack {
            if let Some(active) = self.calls.iter().find(|active| active.task == Some(task)) {
                return self.handle_in(active);
            }
        }
        self.handle()
    }

    /// The handle of a host call whose tasks are `stack`, for the messages of its call: a task that outlived its own call
    /// must not find those of the only call that runs now, which may be another person's.
    fn streaming_handle_of(&self, stack: &[GuestTaskId]) -> Handle {
        let mut handle = self.handle_of(stack.iter().copied());
        let known = self.calls.iter().filter_map(|active| active.task).any(|task| stack.contains(&task));
        let is_bound = self.calls.iter().any(|active| active.task.is_some());
        if is_bound && !known && !stack.is_empty() {
            handle.stream = Streamed::Unclear;
        }
        handle
    }
}

/// The context of a host call that could be any of `calls`, or is made outside one: nobody's account, and the longest
/// of the deadlines.
fn nobodys(calls: &[Active]) -> Context {
    let deadline = calls.iter().map(|active| active.context.deadline).max();
    Context {
        account: None,
        metadata: Vec::new(),
        deadline: deadline.unwrap_or_else(|| Instant::now() + START_BUDGET),
        traceparent: String::new(),
        request_id: String::new(),
    }
}

/// Finds the call that a host call belongs to, by the component-model's call stack where several are running.
fn handle<T: View>(access: &mut Access<'_, T, HasCapability>) -> Handle {
    if access.get().calls.len() < 2 {
        return access.get().handle();
    }
    let stack: Vec<_> = access.as_context_mut().async_call_stack().into_iter().flatten().collect();
    access.get().handle_of(stack.into_iter())
}

/// The same for the messages of a call, which are never taken for another call's.
fn streaming_handle<T: View>(access: &mut Access<'_, T, HasCapability>) -> Handle {
    let stack: Vec<_> = access.as_context_mut().async_call_stack().into_iter().flatten().collect();
    access.get().streaming_handle_of(&stack)
}

/// What a host call needs: the revision and the call it is made for. Borrows nothing, so it lives through an await.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) guest: Arc<Guest>,
    pub(crate) context: Arc<Context>,
    pub(crate) blobs: Arc<Handles>,
    pub(crate) conversations: Arc<Conversations>,
    /// Bytes of messages that the instance may have waiting to be sent, see [`Handle::hold`].
    messages: Room,
    pub(crate) stream: Streamed,
}

impl Handle {
    /// A handle for a call that no instance makes, as tests and the platform's own services need it.
    pub fn new(guest: Arc<Guest>, context: Arc<Context>) -> Self {
        let (blobs, conversations) = (Arc::default(), Arc::default());
        let messages = Room::new(MESSAGES_BYTES_MAX);
        Self { guest, context, blobs, conversations, messages, stream: Streamed::No }
    }

    /// Counts a message of so many bytes as waiting to be sent until the permit is dropped.
    ///
    /// # Errors
    /// 429 when too much waits already.
    pub(crate) fn hold(&self, id: &'static str, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let held = self.messages.take(bytes);
        held.ok_or_else(|| Error::new(id, 429, "limit: streams: too many bytes wait to be sent"))
    }

    /// Runs one host call no longer than its caller waits.
    pub(crate) async fn bounded<R>(
        &self,
        id: &'static str,
        call: impl Future<Output = Result<R, Error>>,
    ) -> Result<R, Error> {
        match tokio::time::timeout_at(self.context.deadline.into(), call).await {
            Ok(result) => result,
            Err(_) => {
                Err(Error::timeout(id, "the call's deadline passed while the platform was working on it"))
            }
        }
    }
}
