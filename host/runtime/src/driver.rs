//! Runs one call to its end: on the front thread that received it while it is quick, on the slow threads once it is
//! not, and never beyond its deadline.
//!
//! The call is one boxed future that owns its store, polled inside the connection's own future: no task, no channel. One
//! whose answer is a stream has a task all the same ([`crate::apart`]).
//! The deadline is watched out here because a timer inside the store's event loop may never be polled, and because
//! wasmtime cannot cancel one call: dropping the store is what stops it.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use micro_api::ServiceKey;
use tokio::time::Sleep;

use crate::fault::Fault;
use crate::instance::Instance;
use crate::meter::Meter;
use crate::revision::Revision;
use crate::slot::Slot;
use crate::slow::{SlowPool, Task};

/// A call of a guest; owns the store. Its answer leaves by a slot; what it gives back is the instance, if that may
/// serve again.
pub(crate) type Call = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// How a call ended.
pub(crate) type Ended = Result<Option<Box<Instance>>, Fault>;

/// What all calls of a service share about where they run.
pub(crate) struct Lane {
    pub(crate) key: Arc<ServiceKey>,
    pool: Arc<SlowPool>,
    runtime: tokio::runtime::Handle,
    sticky: Duration,
    started: Instant,
    /// Calls start slow until then, milliseconds after `started`.
    slow_until_ms: AtomicU64,
    /// Calls in a row that were quick, up to [`PROVEN`].
    quick: AtomicU32,
    /// A call of a service that is not proven runs on a front thread.
    on_trial: AtomicBool,
}

/// A service whose last so many calls were quick may have any number of calls on the front threads. Another may have
/// one: what a guest does within one step of its own, such as filling much memory, cannot be interrupted, and would
/// hold every front thread before the first of them is known to be slow.
const PROVEN: u32 = 16;

/// The right to run on a front thread; that of an unproven service's only call there names its lane.
struct Seat(Option<Arc<Lane>>);

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(lane) = &self.0 {
            lane.on_trial.store(false, Relaxed);
        }
    }
}

impl Lane {
    pub(crate) fn new(
        key: Arc<ServiceKey>,
        pool: Arc<SlowPool>,
        runtime: tokio::runtime::Handle,
        sticky: Duration,
    ) -> Self {
        Self {
            key,
            pool,
            runtime,
            sticky,
            started: Instant::now(),
            slow_until_ms: AtomicU64::new(0),
            quick: AtomicU32::new(0),
            on_trial: AtomicBool::new(false),
        }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    pub(crate) fn is_slow(&self) -> bool {
        let until = self.slow_until_ms.load(Relaxed);
        until > 0 && millis(self.started.elapsed()) < until
    }

    /// A seat for a call on the front threads, if it may start there.
    fn seat(self: &Arc<Self>) -> Option<Seat> {
        if self.is_slow() {
            return None;
        }
        if self.quick.load(Relaxed) >= PROVEN {
            return Some(Seat(None));
        }
        (!self.on_trial.swap(true, Relaxed)).then(|| Seat(Some(Arc::clone(self))))
    }

    /// A call ended and was quick.
    pub(crate) fn note_quick(&self) {
        if self.quick.load(Relaxed) < PROVEN {
            self.quick.fetch_add(1, Relaxed);
        }
    }

    fn mark_slow(&self) {
        self.quick.store(0, Relaxed);
        self.slow_until_ms.store(millis(self.started.elapsed() + self.sticky), Relaxed);
    }
}

/// A running call.
pub(crate) struct Driver {
    running: Running,
    meter: Arc<Meter>,
    revision: Arc<Revision>,
    context: Arc<micro_capability::Context>,
    deadline: Instant,
    /// Asked when the deadline has come: a later one, if there is reason for it.
    later: Option<Box<dyn Fn() -> Instant + Send>>,
    /// Made when the call first waits; most do not.
    sleep: Option<Pin<Box<Sleep>>>,
}

enum Running {
    Front { call: Call, _seat: Option<Seat> },
    Slow { task: Arc<Task>, ended: Arc<Slot<Ended>> },
    Done,
}

/// Where a call begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// On the caller's thread, unless its service was slow lately.
    Front,
    /// Never on a front thread.
    Slow,
}

impl Driver {
    /// Takes a call over. On the front it starts at the first poll, else at once.
    pub(crate) fn new(
        call: Call,
        meter: Arc<Meter>,
        revision: Arc<Revision>,
        context: Arc<micro_capability::Context>,
        deadline: Instant,
        threads: Threads,
    ) -> Self {
        let seat = if threads == Threads::Front { revision.lane().seat() } else { None };
        let front = seat.is_some();
        meter.set_front(front);
        let mut driver = Self {
            running: Running::Front { call, _seat: seat },
            meter,
            revision,
            context,
            deadline,
            later: None,
            sleep: None,
        };
        if !front {
            driver.hand_over();
        }
        driver
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.running, Running::Done)
    }

    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
        self.later = None;
        self.sleep = None;
    }

    /// Lets the deadline move on while the caller is still sending.
    pub(crate) fn extend_by(&mut self, later: impl Fn() -> Instant + Send + 'static) {
        self.later = Some(Box::new(later));
    }

    /// Lets the rest of the call run by itself, under its deadline.
    pub(crate) fn detach(mut self) {
        if !self.is_done() {
            let lane = Arc::clone(self.revision.lane());
            lane.spawn(async move {
                // Whoever asked for the answer is gone; a fault was logged.
                drop(std::future::poll_fn(|cx| self.poll(cx)).await);
            });
        }
    }

    /// The call's end. What it left behind is dealt with: its CPU time is counted, its instance kept, its fault logged.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let polled = match &mut self.running {
            Running::Done => return Poll::Pending,
            Running::Front { call, .. } => poll_call(call, &self.meter, cx),
            Running::Slow { ended, .. } => ended.poll_take(cx),
        };
        if let Poll::Ready(ended) = polled {
            self.running = Running::Done;
            return Poll::Ready(self.finish(ended));
        }
        if self.meter.must_leave() && matches!(self.running, Running::Front { .. }) {
            self.revision.lane().mark_slow();
            self.hand_over();
            if let Running::Slow { ended, .. } = &self.running
                && let Poll::Ready(ended) = ended.poll_take(cx)
            {
                self.running = Running::Done;
                return Poll::Ready(self.finish(ended));
            }
        }
        if self.is_late(cx) {
            self.stop();
            return Poll::Ready(self.finish(Err(Fault::WallLimit)));
        }
        Poll::Pending
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let deadline = self.deadline;
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
            if sleep.as_mut().poll(cx).is_pending() {
                return false;
            }
            match self.later.as_ref().map(|later| later()) {
                Some(later) if later > Instant::now() => {
                    self.deadline = later;
                    self.sleep = None;
                }
                _ => return true,
            }
        }
    }

    fn finish(&mut self, ended: Ended) -> Result<(), Fault> {
        self.revision.stats_cells().add_cpu(self.meter.used());
        if self.meter.is_heavy() {
            // Also where it ran slow from the start: a service stays there as long as its calls are of this kind.
            self.revision.lane().mark_slow();
        } else {
            self.revision.lane().note_quick();
        }
        match ended {
            Ok(instance) => {
                if let Some(instance) = instance {
                    self.revision.keep(instance);
                }
                Ok(())
            }
            Err(fault) => {
                if fault.is_costly() {
                    self.revision.lane().mark_slow();
                }
                self.revision.log_fault(&fault, &self.context.request_id);
                Err(fault)
            }
        }
    }

    fn hand_over(&mut self) {
        let running = std::mem::replace(&mut self.running, Running::Done);
        let Running::Front { mut call, _seat } = running else { return };
        self.meter.set_front(false);
        let ended = Slot::new();
        let (meter, put) = (Arc::clone(&self.meter), Arc::clone(&ended));
        let work = std::future::poll_fn(move |cx| {
            if meter.is_cancelled() {
                return Poll::Ready(());
            }
            poll_call(&mut call, &meter, cx).map(|ended| put.fill(ended))
        });
        let lane = self.revision.lane();
        let task = lane.pool.spawn(&lane.key.namespace, Box::pin(work));
        self.running = Running::Slow { task, ended };
    }

    /// Drops the call, wherever it runs.
    fn stop(&mut self) {
        if let Running::Slow { task, .. } = &self.running {
            // A thread may be inside the guest: it leaves at the next tick and drops the store.
            self.meter.cancel();
            task.cancel();
        }
        self.running = Running::Done;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if !self.is_done() {
            self.stop();
            self.revision.stats_cells().add_cpu(self.meter.used());
        }
    }
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// This thread is polling a guest's call: what runs now is a host function of that guest.
pub(crate) fn is_inside_call() -> bool {
    INSIDE.get()
}

/// A panic of the host ends this one call and nothing else.
fn poll_call(call: &mut Call, meter: &Meter, cx: &mut Context<'_>) -> Poll<Ended> {
    let outer = INSIDE.replace(true);
    let polled = std::panic::catch_unwind(AssertUnwindSafe(|| meter.poll(call.as_mut(), cx)));
    INSIDE.set(outer);
    polled.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        tracing::error!(panic = text, "host panicked in a call");
        Poll::Ready(Err(Fault::Host(format!("panic: {text}"))))
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
