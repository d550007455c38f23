//! Work of the platform's own on a thread that answers a call. It is not the guest's CPU time.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How old a thread's knowledge of its own CPU time may be.
pub const CLOCK_AGE_MAX: Duration = Duration::from_micros(100);

thread_local! {
    static SPENT_NS: Cell<u64> = const { Cell::new(0) };
    /// When this thread last read its CPU clock, and what that said.
    static CLOCK: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
}

/// Does such work here.
pub fn run<R>(work: impl FnOnce() -> R) -> R {
    let before = cpu_ns_at_most(Instant::now());
    let done = work();
    SPENT_NS.set(spent_ns() + cpu_ns().saturating_sub(before));
    done
}

/// CPU time of this thread that went into such work, nanoseconds.
pub fn spent_ns() -> u64 {
    SPENT_NS.get()
}

/// CPU time of this thread in all, nanoseconds. A system call of half a microsecond.
pub fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let ns = time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
    CLOCK.set(Some((Instant::now(), ns)));
    ns
}

/// The same without the system call where this thread last made it at most [`CLOCK_AGE_MAX`] before: what it said then,
/// and the time since. That is more than was used where the thread has waited meanwhile.
pub fn cpu_ns_at_most(now: Instant) -> u64 {
    let known = CLOCK.get().map(|(read, ns)| (now.saturating_duration_since(read), ns));
    match known {
        Some((age, ns)) if age <= CLOCK_AGE_MAX => ns + u64::try_from(age.as_nanos()).unwrap_or(0),
        _ => cpu_ns(),
    }
}
