//! A cell that a call fills with its answer while it still runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use parking_lot::Mutex;

/// Shared by the call, which may be on another thread, and by whoever waits for the answer.
pub(crate) struct Slot<T> {
    value: Mutex<Option<T>>,
    filled: AtomicBool,
    waker: AtomicWaker,
}

impl<T> Slot<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { value: Mutex::new(None), filled: AtomicBool::new(false), waker: AtomicWaker::new() })
    }

    pub(crate) fn fill(&self, value: T) {
        self.filled.store(true, Relaxed);
        *self.value.lock() = Some(value);
        self.waker.wake();
    }

    /// Fills it unless it was filled before, taken or not.
    pub(crate) fn fill_first(&self, value: T) {
        if !self.filled.swap(true, Relaxed) {
            self.fill(value);
        }
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.value.lock().take()
    }

    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Waits for the value; ready once.
    pub(crate) fn poll_take(&self, cx: &Context<'_>) -> Poll<T> {
        self.register(cx);
        self.take().map_or(Poll::Pending, Poll::Ready)
    }
}
