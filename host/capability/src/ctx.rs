//! The capabilities' part of an instance's state.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use micro_api::Error;
use tokio::sync::Semaphore;
use wasmtime::AsContextMut;
use wasmtime::component::{Access, GuestTaskId};

use crate::blob::Handles;
use crate::log::{Output, Stream, Tap};
use crate::{Context, Guest, HasCapability, View};

/// Time that host calls get while no call runs: code that a component runs as it is instantiated.
const START_BUDGET: Duration = Duration::from_secs(1);

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
        let (swaps, blobs, blobstore) = (Default::default(), Arc::default(), Default::default());
        Self { guest, calls: Vec::new(), next: 0, tap, outbound, swaps, blobs, blobstore }
    }

    /// A call starts: host calls from now on are made in its name and end by its deadline. Log budgets start anew.
    pub fn begin(&mut self, context: Arc<Context>) -> CallId {
        let id = CallId(self.next);
        self.next = self.next.wrapping_add(1);
        self.tap.begin(&context, self.calls.is_empty());
        self.outbound.said.store(false, Ordering::Relaxed);
        self.calls.push(Active { id, task: None, context });
        id
    }

    /// Says which component-model task runs the call, so that in an instance with several calls each host call finds
    /// its own. Without it such host calls carry no account and no metadata.
    pub fn bind(&mut self, call: CallId, task: GuestTaskId) {
        if let Some(active) = self.calls.iter_mut().find(|active| active.id == call) {
            active.task = Some(task);
        }
    }

    /// The call is over. What it wrote to stdout without a newline is logged as a line; blobs that it left open are closed,
    /// unless another call runs that may be the one who opened them.
    pub fn end(&mut self, call: CallId) {
        self.calls.retain(|active| active.id != call);
        if self.calls.is_empty() {
            self.tap.flush();
            self.blobs.clear();
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
        let context = match self.calls.as_slice() {
            [only] => Arc::clone(&only.context),
            calls => Arc::new(nobodys(calls)),
        };
        self.handle_in(context)
    }

    fn handle_in(&self, context: Arc<Context>) -> Handle {
        Handle { guest: Arc::clone(&self.guest), context, blobs: Arc::clone(&self.blobs) }
    }

    fn handle_of(&self, stack: impl Iterator<Item = GuestTaskId>) -> Handle {
        for task in stack {
            if let Some(active) = self.calls.iter().find(|active| active.task == Some(task)) {
                return self.handle_in(Arc::clone(&active.context));
            }
        }
        self.handle()
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
pub(crate) fn handle<T: View>(access: &mut Access<'_, T, HasCapability>) -> Handle {
    if access.get().calls.len() < 2 {
        return access.get().handle();
    }
    let stack: Vec<_> = access.as_context_mut().async_call_stack().into_iter().flatten().collect();
    access.get().handle_of(stack.into_iter())
}

/// What a host call needs: the revision and the call it is made for. Borrows nothing, so it lives through an await.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) guest: Arc<Guest>,
    pub(crate) context: Arc<Context>,
    pub(crate) blobs: Arc<Handles>,
}

impl Handle {
    /// A handle for a call that no instance makes, as tests and the platform's own services need it.
    pub fn new(guest: Arc<Guest>, context: Arc<Context>) -> Self {
        Self { guest, context, blobs: Arc::default() }
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
