//! Where calls go that use much CPU: a few threads of their own, fair by namespace.
//!
//! A guest that burns CPU must not delay others, and what does that is to leave a core free: priorities alone do not.
//! So a call that used its few milliseconds on a front thread is moved here, onto one thread less than there are
//! cores. A guest gives the thread back at every tick, and the next one comes from the next namespace: a namespace
//! with a hundred loops gets as much as one with a single loop.
//!
//! Bound: a task is an instance's call, and instances are bounded by the gate.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::task::{Context, Wake, Waker};
use std::thread::JoinHandle;

use micro_api::Namespace;
use parking_lot::{Condvar, Mutex};

/// What runs here: a call that puts its result where its caller waits.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The threads and their queue.
pub(crate) struct SlowPool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl SlowPool {
    /// Starts the threads. Timers and sockets that guests wait for belong to `runtime`.
    pub(crate) fn start(threads: usize, runtime: &tokio::runtime::Handle) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let spawn = |index| {
            let (queue, runtime) = (Arc::clone(&queue), runtime.clone());
            std::thread::Builder::new().name(format!("micro-slow-{index}")).spawn(move || {
                let _runtime = runtime.enter();
                while let Some(task) = queue.next() {
                    task.run();
                }
            })
        };
        let threads = (0..threads).map(spawn).collect::<Result<_, _>>()?;
        Ok(Self { queue, threads })
    }

    /// Runs `work` to its end, or until [`Task::cancel`].
    pub(crate) fn spawn(&self, namespace: &Namespace, work: Work) -> Arc<Task> {
        let task = Arc::new(Task {
            work: Mutex::new(Some(work)),
            cancelled: AtomicBool::new(false),
            state: AtomicU8::new(QUEUED),
            namespace: namespace.clone(),
            queue: Arc::clone(&self.queue),
        });
        self.queue.push(Arc::clone(&task));
        task
    }
}

impl Drop for SlowPool {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // The thread may be the one that drops the pool's last owner; it ends by itself then.
            if thread.thread().id() != std::thread::current().id() {
                drop(thread.join());
            }
        }
    }
}

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
/// Woken while it ran: runs again.
const NOTIFIED: u8 = 3;

/// A call on the slow threads.
pub(crate) struct Task {
    work: Mutex<Option<Work>>,
    cancelled: AtomicBool,
    state: AtomicU8,
    namespace: Namespace,
    queue: Arc<Queue>,
}

impl Task {
    /// Drops the work, at once where no thread is inside it, else when its guest reaches the next tick.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, SeqCst);
        self.drop_work();
    }

    fn drop_work(&self) {
        if let Some(mut work) = self.work.try_lock() {
            let dropped = work.take();
            drop(work);
            drop(dropped);
        }
    }

    fn run(self: Arc<Self>) {
        self.state.store(RUNNING, Release);
        let waker = Waker::from(Arc::clone(&self));
        let mut work = self.work.lock();
        let finished = match work.as_mut() {
            Some(future) => future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready(),
            None => return,
        };
        let dropped = if finished { work.take() } else { None };
        drop(work);
        drop(dropped);
        if self.cancelled.load(SeqCst) {
            // Whoever cancelled it while it ran could not drop the work.
            self.drop_work();
            return;
        }
        if !finished && self.state.compare_exchange(RUNNING, IDLE, AcqRel, Acquire).is_err() {
            self.state.store(QUEUED, Release);
            let queue = Arc::clone(&self.queue);
            queue.push(self);
        }
    }

    fn notify(self: &Arc<Self>) {
        let moved = self.state.fetch_update(AcqRel, Acquire, |state| match state {
            IDLE => Some(QUEUED),
            RUNNING => Some(NOTIFIED),
            _ => None,
        });
        if moved == Ok(IDLE) {
            self.queue.push(Arc::clone(self));
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}

#[derive(Default)]
struct Queue {
    turns: Mutex<Turns>,
    ready: Condvar,
}

/// Tasks by namespace, and whose turn it is.
#[derive(Default)]
struct Turns {
    closed: bool,
    order: VecDeque<Namespace>,
    tasks: HashMap<Namespace, VecDeque<Arc<Task>>>,
}

impl Queue {
    fn push(&self, task: Arc<Task>) {
        let mut turns = self.turns.lock();
        if turns.closed {
            return;
        }
        let namespace = task.namespace.clone();
        let tasks = turns.tasks.entry(namespace.clone()).or_default();
        let was_empty = tasks.is_empty();
        tasks.push_back(task);
        if was_empty {
            turns.order.push_back(namespace);
        }
        drop(turns);
        self.ready.notify_one();
    }

    /// Waits for the next task; none when the pool is closed.
    fn next(&self) -> Option<Arc<Task>> {
        let mut turns = self.turns.lock();
        loop {
            if turns.closed {
                return None;
            }
            if let Some(task) = turns.take() {
                return Some(task);
            }
            self.ready.wait(&mut turns);
        }
    }

    fn close(&self) {
        let mut turns = self.turns.lock();
        turns.closed = true;
        let left = std::mem::take(&mut turns.tasks);
        turns.order.clear();
        drop(turns);
        drop(left);
        self.ready.notify_all();
    }
}

impl Turns {
    fn take(&mut self) -> Option<Arc<Task>> {
        let namespace = self.order.pop_front()?;
        let tasks = self.tasks.get_mut(&namespace)?;
        let task = tasks.pop_front();
        if tasks.is_empty() {
            self.tasks.remove(&namespace);
        } else {
            self.order.push_back(namespace);
        }
        task
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn spin(turns: usize, log: &Arc<Mutex<Vec<char>>>, name: char) -> Work {
        let log = Arc::clone(log);
        Box::pin(async move {
            for _ in 0..turns {
                log.lock().push(name);
                tokio::task::yield_now().await;
            }
        })
    }

    #[tokio::test]
    async fn namespaces_take_turns() {
        let pool = SlowPool::start(1, &tokio::runtime::Handle::current()).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (many, one): (Namespace, Namespace) = ("many".parse().unwrap(), "one".parse().unwrap());
        let gate = Arc::new(std::sync::Barrier::new(2));
        let held = Arc::clone(&gate);
        pool.spawn(
            &"first".parse().unwrap(),
            Box::pin(async move {
                held.wait();
            }),
        );
        let mut tasks: Vec<_> = (0..8).map(|_| pool.spawn(&many, spin(4, &log, 'm'))).collect();
        tasks.push(pool.spawn(&one, spin(4, &log, 'o')));
        gate.wait();
        while log.lock().len() < 36 {
            tokio::task::yield_now().await;
        }
        let order: String = log.lock().iter().take(8).collect();
        assert_eq!(order, "momomomo");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_task_that_waits_is_woken_and_a_cancelled_one_is_dropped() {
        struct Count(Arc<AtomicUsize>);
        impl Drop for Count {
            fn drop(&mut self) {
                self.0.fetch_add(1, SeqCst);
            }
        }
        let pool = SlowPool::start(2, &tokio::runtime::Handle::current()).unwrap();
        let namespace = Namespace::default();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        pool.spawn(
            &namespace,
            Box::pin(async move {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                sender.send(()).unwrap();
            }),
        );
        receiver.await.unwrap();
        let dropped = Arc::new(AtomicUsize::new(0));
        let count = Count(Arc::clone(&dropped));
        let task = pool.spawn(
            &namespace,
            Box::pin(async move {
                let _count = count;
                std::future::pending::<()>().await;
            }),
        );
        while dropped.load(SeqCst) == 0 {
            task.cancel();
            tokio::task::yield_now().await;
        }
    }
}
