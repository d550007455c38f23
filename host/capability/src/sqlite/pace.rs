//! How a thread and whoever asks it meet without sleeping.
//!
//! To wake a thread that sleeps takes longer than most of what it is asked. So a thread that is asked again and again
//! looks for the next task for a moment before it sleeps, and a caller that finds it looking looks for its answer for a
//! moment before it yields. Neither does so where that would not help: on one CPU, where tasks are rare, and where the
//! work itself takes longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryIter};
use std::time::{Duration, Instant};

/// How long a caller looks. It keeps a thread from other work, so its answer must be likely to come.
const LOOK: Duration = Duration::from_micros(30);
/// How long a thread looks: until a caller that yielded has woken, and has asked again. Others go first meanwhile.
const THREAD_LOOK: Duration = Duration::from_micros(100);
/// A thread whose last pause was shorter looks for the next task. Both had to wake in it.
const SHORT_PAUSE: Duration = Duration::from_micros(250);

/// What callers know of a thread.
#[derive(Debug)]
pub(super) struct Pace {
    is_looking: AtomicBool,
    /// What the last tasks took.
    work_ns: AtomicU64,
    has_cpus: bool,
}

impl Default for Pace {
    fn default() -> Self {
        let has_cpus = std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1);
        Self { is_looking: AtomicBool::new(false), work_ns: AtomicU64::new(u64::MAX), has_cpus }
    }
}

impl Pace {
    /// How long a caller that sends a task now looks for its answer; none: it should yield at once.
    pub(super) fn answers_within(&self) -> Option<Duration> {
        let work = Duration::from_nanos(self.work_ns.load(Ordering::Relaxed));
        (work < LOOK && self.is_looking.load(Ordering::Relaxed)).then_some(LOOK)
    }

    /// What a task took counts as half of what is expected of the next.
    fn note(&self, work: Duration) {
        let work = u64::try_from(work.as_nanos()).unwrap_or(u64::MAX / 2);
        let before = self.work_ns.load(Ordering::Relaxed);
        let known = if before == u64::MAX { work } else { before / 2 + work / 2 };
        self.work_ns.store(known, Ordering::Relaxed);
    }
}

/// The tasks of a thread.
pub(crate) struct Tasks<T> {
    queue: Receiver<T>,
    pace: Arc<Pace>,
    /// When the last one was handed out.
    began: Option<Instant>,
    /// The next one is likely to come soon.
    is_asked_often: bool,
}

impl<T> Tasks<T> {
    pub(super) fn new(queue: Receiver<T>, pace: Arc<Pace>) -> Self {
        Self { queue, pace, began: None, is_asked_often: false }
    }

    /// The next task, waited for until a time; whoever asks is done with the one before.
    ///
    /// # Errors
    /// None came until then, or none will: the queue is closed.
    pub(crate) fn next(&mut self, until: Instant) -> Result<T, RecvTimeoutError> {
        let idle = Instant::now();
        if let Some(began) = self.began.take() {
            self.pace.note(idle - began);
        }
        let task = match self.look() {
            Some(task) => task,
            None => self.queue.recv_timeout(until.saturating_duration_since(Instant::now()))?,
        };
        let now = Instant::now();
        self.is_asked_often = now - idle < SHORT_PAUSE;
        self.began = Some(now);
        Ok(task)
    }

    fn look(&self) -> Option<T> {
        if !self.is_asked_often || !self.pace.has_cpus {
            return None;
        }
        self.pace.is_looking.store(true, Ordering::Relaxed);
        let found = look(THREAD_LOOK, || self.queue.try_recv().ok().or_else(yielded));
        self.pace.is_looking.store(false, Ordering::Relaxed);
        found
    }

    /// What waits beside it.
    pub(crate) fn waiting(&self) -> TryIter<'_, T> {
        self.queue.try_iter()
    }
}

/// Lets other threads have the CPU if one wants it.
fn yielded<T>() -> Option<T> {
    std::thread::yield_now();
    None
}

/// Looks for so long, and no longer.
pub(super) fn look<T>(time: Duration, mut find: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + time;
    loop {
        if let Some(found) = find() {
            return Some(found);
        }
        if Instant::now() >= until {
            return None;
        }
        (0..8).for_each(|_| std::hint::spin_loop());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    fn pair() -> (std::sync::mpsc::SyncSender<u8>, Tasks<u8>) {
        let (send, receive) = sync_channel(8);
        let pace = Pace { has_cpus: true, ..Pace::default() };
        (send, Tasks::new(receive, Arc::new(pace)))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(5)
    }

    #[test]
    fn tasks_come_in_order_and_the_end_is_seen() {
        let (send, mut tasks) = pair();
        (0..3).for_each(|number| send.send(number).unwrap());
        assert_eq!(tasks.next(soon()), Ok(0));
        assert_eq!(tasks.waiting().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(tasks.next(soon()), Err(RecvTimeoutError::Timeout));
        send.send(3).unwrap();
        drop(send);
        assert_eq!(tasks.next(soon()), Ok(3));
        assert_eq!(tasks.next(soon()), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn callers_look_only_where_the_thread_does_and_the_work_is_short() {
        let pace = Pace { has_cpus: true, ..Pace::default() };
        pace.is_looking.store(true, Ordering::Relaxed);
        assert_eq!(pace.answers_within(), None, "nothing is known of its work");
        pace.note(Duration::from_micros(10));
        assert_eq!(pace.answers_within(), Some(LOOK));
        pace.note(Duration::from_millis(1));
        assert_eq!(pace.answers_within(), None, "its work takes long");
        (0..20).for_each(|_| pace.note(Duration::from_micros(10)));
        assert_eq!(pace.answers_within(), Some(LOOK), "it has become short again");
        pace.is_looking.store(false, Ordering::Relaxed);
        assert_eq!(pace.answers_within(), None, "it sleeps, or works for another");
    }

    #[test]
    fn a_thread_that_is_rarely_asked_does_not_look() {
        let (send, mut tasks) = pair();
        send.send(1).unwrap();
        tasks.next(soon()).unwrap();
        assert!(tasks.is_asked_often, "the task was there");
        assert!(tasks.next(soon()).is_err());
        let sender = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(2));
            send.send(2).unwrap();
            send
        });
        assert_eq!(tasks.next(Instant::now() + Duration::from_secs(5)), Ok(2));
        assert!(!tasks.is_asked_often, "it was waited for");
        drop(sender.join());
    }
}
