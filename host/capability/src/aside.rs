//! Work of the platform's own on a thread that answers a call. It is not the guest's CPU time.

use std::cell::Cell;

use rustix::time::{ClockId, clock_gettime};

thread_local! {
    static SPENT_NS: Cell<u64> = const { Cell::new(0) };
}

/// Does such work here.
pub fn run<R>(work: impl FnOnce() -> R) -> R {
    let before = cpu_ns();
    let done = work();
    SPENT_NS.set(spent_ns() + (cpu_ns() - before));
    done
}

/// CPU time of this thread that went into such work, nanoseconds.
pub fn spent_ns() -> u64 {
    SPENT_NS.get()
}

/// CPU time of this thread in all, nanoseconds.
pub fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
