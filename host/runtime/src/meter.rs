//! CPU time of a call.
//!
//! Ticks of the epoch also pass while a guest waits, so they are no measure. What counts is the thread's CPU time
//! inside polls of the call's future. Reading that clock is a system call of about a microsecond, and a small call has
//! several polls of a few microseconds each, so a short poll is charged by the monotonic clock. One that is longer is
//! charged by the thread's clock, counted from when the thread last read it, at most [`aside::CLOCK_AGE_MAX`] before.
//!
//! What the platform itself does on the thread, such as work on a file that a call of the store lets be done right there,
//! is not the guest's ([`micro_capability::aside`]): a poll in which that happened is charged by the thread's clock alone.
//! Both count from the same knowledge of that clock, so what it says too much of a wait before the poll, both leave out.
//!
//! A guest that does not wait gives way at every tick, where its account is compared with what the call may use; one that
//! hardly computed since it last gave way, because it waited for a disk, at every [`TICKS_MAX`]th. Bulk
//! memory operations check once, so a poll may be much longer than a tick; it is charged in full when it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use micro_capability::{Tally, aside};
use wasmtime::{StoreContextMut, UpdateDeadline};

use crate::state::State;

/// A poll that took no longer is charged by the monotonic clock.
const SHORT_POLL_MAX: Duration = Duration::from_micros(100);
/// A guest that computed for less than this gave its thread to others already, or has one of its own.
const HARDLY: Duration = Duration::from_micros(500);
/// It gives way after so many ticks all the same: its deadline is looked at then.
const TICKS_MAX: u32 = 8;

/// A limit that a guest met while it ran; read when its call has trapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Met {
    Nothing = 0,
    Cpu = 1,
    Memory = 2,
    Table = 3,
    NodeMemory = 4,
    Cancelled = 5,
    SpaceMemory = 6,
}

/// What the poll wrapper and the epoch callback of one instance share.
#[derive(Debug)]
pub(crate) struct Meter {
    /// CPU time of all polls that have ended, nanoseconds.
    used_ns: AtomicU64,
    /// The call may use so much, counted as `used_ns`.
    budget_ns: AtomicU64,
    /// At this many it leaves the front threads.
    front_ns: AtomicU64,
    /// The thread's clock when the current poll began, at most.
    poll_start_ns: AtomicU64,
    /// Ticks in the current poll.
    poll_ticks: AtomicU32,
    /// The call runs on a front thread.
    front: AtomicBool,
    /// It has to leave.
    demote: AtomicBool,
    cancelled: AtomicBool,
    met: AtomicU8,
    /// What the service used in all.
    tally: Arc<Tally>,
}

impl Meter {
    /// An account whose use is charged to `tally` too.
    pub(crate) fn new(tally: Arc<Tally>) -> Self {
        Self {
            used_ns: AtomicU64::new(0),
            budget_ns: AtomicU64::new(u64::MAX),
            front_ns: AtomicU64::new(u64::MAX),
            poll_start_ns: AtomicU64::new(0),
            poll_ticks: AtomicU32::new(0),
            front: AtomicBool::new(true),
            demote: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            met: AtomicU8::new(0),
            tally,
        }
    }

    /// Starts a call's account. The instance that it runs in may have served others.
    pub(crate) fn begin(&self, cpu: Duration, front_cpu: Duration) {
        self.used_ns.store(0, Relaxed);
        self.budget_ns.store(nanos(cpu), Relaxed);
        self.front_ns.store(nanos(front_cpu), Relaxed);
        self.met.store(0, Relaxed);
        self.demote.store(false, Relaxed);
    }

    /// Another call joins an instance whose account is shared: it may use `cpu` more from here on.
    pub(crate) fn extend(&self, cpu: Duration, front_cpu: Duration) {
        let used = self.used_ns.load(Relaxed);
        self.budget_ns.store(used.saturating_add(nanos(cpu)), Relaxed);
        self.front_ns.store(used.saturating_add(nanos(front_cpu)), Relaxed);
    }

    /// No limit: a job has a share instead.
    pub(crate) fn begin_unlimited(&self) {
        self.begin(Duration::MAX, Duration::MAX);
    }

    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns.load(Relaxed))
    }

    pub(crate) fn set_front(&self, front: bool) {
        self.front.store(front, Relaxed);
    }

    /// It used more than a call on a front thread may.
    pub(crate) fn is_heavy(&self) -> bool {
        self.used_ns.load(Relaxed) > self.front_ns.load(Relaxed)
    }

    /// Makes the call leave the front threads when it next gives way; false where it is not on one.
    pub(crate) fn leave_front(&self) -> bool {
        let front = self.front.load(Relaxed);
        if front {
            self.demote.store(true, Relaxed);
        }
        front
    }

    pub(crate) fn must_leave(&self) -> bool {
        self.demote.load(Relaxed)
    }

    /// Stops the guest at its next tick.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Relaxed)
    }

    pub(crate) fn meet(&self, met: Met) {
        self.met.store(met as u8, Relaxed);
    }

    pub(crate) fn met(&self) -> Met {
        match self.met.load(Relaxed) {
            1 => Met::Cpu,
            2 => Met::Memory,
            3 => Met::Table,
            4 => Met::NodeMemory,
            5 => Met::Cancelled,
            6 => Met::SpaceMemory,
            _ => Met::Nothing,
        }
    }

    /// Polls `future`, which runs the instance of this meter, on its account.
    pub(crate) fn poll<F: Future + ?Sized>(
        &self,
        future: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let begun = Span::begin();
        self.poll_start_ns.store(begun.start_ns, Relaxed);
        self.poll_ticks.store(0, Relaxed);
        let polled = future.poll(cx);
        let spent = begun.spent_ns();
        self.used_ns.fetch_add(spent, Relaxed);
        self.tally.cpu(spent);
        polled
    }

    /// The epoch has passed while the guest ran.
    pub(crate) fn tick(&self) -> UpdateDeadline {
        if self.is_cancelled() {
            self.meet(Met::Cancelled);
            return UpdateDeadline::Interrupt;
        }
        let current = thread_cpu_ns().saturating_sub(self.poll_start_ns.load(Relaxed));
        let used = self.used_ns.load(Relaxed) + current;
        if used > self.budget_ns.load(Relaxed) {
            self.meet(Met::Cpu);
            return UpdateDeadline::Interrupt;
        }
        if used > self.front_ns.load(Relaxed) {
            self.leave_front();
        }
        let ticks = self.poll_ticks.fetch_add(1, Relaxed) + 1;
        if current < nanos(HARDLY) && ticks < TICKS_MAX && !self.must_leave() {
            return UpdateDeadline::Continue(1);
        }
        UpdateDeadline::Yield(1)
    }
}

/// The CPU time of one poll.
struct Span {
    began: Instant,
    /// What the thread's clock said then, at most: what it had said before, and the time since.
    start_ns: u64,
    /// What the thread had done aside until then, nanoseconds.
    aside_ns: u64,
}

impl Span {
    fn begin() -> Self {
        let (began, aside_ns) = (Instant::now(), aside::spent_ns());
        Self { began, start_ns: aside::cpu_ns_at_most(began).saturating_sub(aside_ns), aside_ns }
    }

    /// Never more than was used, but for [`SHORT_POLL_MAX`]: what may have been spent before it began is not charged.
    fn spent_ns(&self) -> u64 {
        let wall = self.began.elapsed();
        let pure = aside::spent_ns() == self.aside_ns;
        if pure && wall <= SHORT_POLL_MAX {
            return nanos(wall);
        }
        let least = if pure { nanos(SHORT_POLL_MAX) } else { 0 };
        thread_cpu_ns().saturating_sub(self.start_ns).max(least).min(nanos(wall))
    }
}

/// The callback of a store's epoch deadline.
pub(crate) fn on_epoch(
    meter: Arc<Meter>,
) -> impl FnMut(StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    move |_| Ok(meter.tick())
}

/// CPU time of this thread without what it did aside, nanoseconds.
fn thread_cpu_ns() -> u64 {
    aside::cpu_ns() - aside::spent_ns()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Arc<Tally> {
        micro_capability::Tallies::default().of(&"default".parse().unwrap(), &"app".parse().unwrap())
    }

    /// Keeps the thread busy for so much CPU time, whoever else has the core meanwhile.
    fn burn(time: Duration) {
        let until = thread_cpu_ns() + nanos(time);
        while thread_cpu_ns() < until {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn who_hardly_computes_gives_way_at_every_eighth_tick() {
        let meter = Meter::new(tally());
        meter.begin(Duration::from_secs(1), Duration::from_secs(1));
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut yields = |work: &dyn Fn()| {
            let mut ticks = std::pin::pin!(std::future::poll_fn(|_| {
                work();
                let ticks = (0..2 * TICKS_MAX).map(|_| matches!(meter.tick(), UpdateDeadline::Yield(_)));
                Poll::Ready(ticks.collect::<Vec<_>>())
            }));
            match meter.poll(ticks.as_mut(), &mut context) {
                Poll::Ready(yields) => yields,
                Poll::Pending => Vec::new(),
            }
        };
        let rare = (1..=2 * TICKS_MAX).map(|tick| tick >= TICKS_MAX).collect::<Vec<_>>();
        assert_eq!(yields(&|| {}), rare);
        assert_eq!(
            yields(&|| aside::run(|| burn(Duration::from_millis(2)))),
            rare,
            "that is the platform's own"
        );
        let always = vec![true; rare.len()];
        assert_eq!(yields(&|| burn(Duration::from_millis(1))), always);
        meter.leave_front();
        assert_eq!(yields(&|| {}), always, "it has to leave");
    }

    #[test]
    fn what_is_done_aside_is_not_charged() {
        for rest in [20, 150, 900].map(Duration::from_micros) {
            let span = Span::begin();
            aside::run(|| burn(Duration::from_millis(6)));
            burn(rest);
            let spent = span.spent_ns();
            let least = nanos(rest.saturating_sub(aside::CLOCK_AGE_MAX));
            assert!((least..=nanos(rest) + 1_000_000).contains(&spent), "{rest:?}: {spent}");
        }
    }

    #[test]
    fn a_long_poll_is_charged_in_full_and_waiting_is_not() {
        let long = Span::begin();
        burn(Duration::from_millis(6));
        let spent = long.spent_ns();
        assert!(spent > 5_000_000, "{spent}");
        let waiting = Span::begin();
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        receiver.recv_timeout(Duration::from_millis(30)).unwrap_err();
        drop(sender);
        assert!(waiting.spent_ns() < 15_000_000, "{}", waiting.spent_ns());
    }

    /// However a guest cuts its work into polls, with or without waits between: each is charged to a tenth of a
    /// millisecond.
    #[test]
    fn many_polls_add_up() {
        const POLLS: u32 = 50;
        for poll in [20, 90, 150, 900].map(Duration::from_micros) {
            for pause in [0, 30, 200].map(Duration::from_micros) {
                let (meter, mut used) = (Meter::new(tally()), 0);
                let mut work = std::pin::pin!(std::future::poll_fn(|_| {
                    let before = thread_cpu_ns();
                    burn(poll);
                    used += thread_cpu_ns() - before;
                    Poll::<()>::Pending
                }));
                let mut context = Context::from_waker(std::task::Waker::noop());
                for _ in 0..POLLS {
                    assert!(meter.poll(work.as_mut(), &mut context).is_pending());
                    if !pause.is_zero() {
                        std::thread::sleep(pause);
                    }
                }
                let charged = nanos(meter.used());
                assert_eq!(meter.tally.sums().cpu, meter.used(), "the books say the same");
                assert!(
                    charged + nanos(aside::CLOCK_AGE_MAX * POLLS) >= used,
                    "{poll:?}: {charged} of {used}"
                );
                assert!(charged <= used + nanos(SHORT_POLL_MAX * POLLS), "{poll:?}: {charged} of {used}");
            }
        }
    }
}
