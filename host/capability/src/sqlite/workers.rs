//! Workers, which do the work of files one batch after the other, and who asks them.
//!
//! A worker has a thread and a queue, and what waits there together is done together. A call that finds its worker idle
//! does not wake that thread to wait for it: it lets the worker do its task right here, and only its own thread waits for
//! the disk, which the runtime replaces meanwhile (`block_in_place`). So of all calls there wait at most as many in this
//! way as there are workers, and those that come meanwhile wait in the queue, as they would for the thread.
//!
//! What reads so little that the file's pages are in memory as a rule does not even have its thread replaced, which would
//! take longer than the read. A disk that hangs would keep that thread, so there is no more than one at a time in the
//! whole process ([`GLANCE`]).
//!
//! A caller may have begun several writes before it waits for any, and one transaction for all of them is what it is
//! best off with. So a write lets others go first before it looks whether it is alone; where [`ALONE_LEAST`] were in a
//! row, only one of [`LOOK_EVERY`] does, for that costs a turn of the runtime. Until then all take the queue.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use micro_api::name::Namespace;
use quick_cache::sync::Cache;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::aside;

/// See [`Bounds::calls_per_namespace_max`].
const PLACE_BYTES: usize = 64 << 10;
/// Namespaces whose turns are known; one that was forgotten begins anew.
const TURNS_MAX: usize = 65_536;
/// After so many writes in a row that were alone, the next are taken to be.
const ALONE_LEAST: u32 = 4;
/// Of those, one of so many looks for company first.
const LOOK_EVERY: u32 = 64;
/// Whose thread reads a little without being replaced.
static GLANCE: Mutex<()> = Mutex::new(());

/// Does the work of some namespaces' files.
pub(crate) trait Worker: Send + 'static {
    type Task: Send;

    /// Tasks taken from the queue at once.
    const BATCH: usize;

    /// Does this task and answers it.
    fn work_one(&mut self, task: Self::Task) {
        self.work(std::iter::once(task));
    }

    /// Does these tasks and answers each.
    fn work(&mut self, tasks: impl Iterator<Item = Self::Task>);

    /// What is done now and then without being asked.
    fn sweep(&mut self);

    fn sweep_every(&self) -> Duration;
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It reads a record or a few.
    Glance,
    Read,
    /// It ends with the disk, which takes as long for several as for one.
    Write,
}

/// The workers, whose threads end with this, and whose turn it is to ask them.
pub(crate) struct Workers<W: Worker> {
    shards: Vec<Shard<W>>,
    turns: Cache<Namespace, Arc<Semaphore>>,
    calls_per_namespace_max: usize,
}

/// One worker, and the namespaces whose work it does.
struct Shard<W: Worker> {
    worker: Arc<Mutex<W>>,
    queue: SyncSender<W::Task>,
    unanswered: Arc<AtomicUsize>,
    /// Writes in a row that had no company.
    alone: AtomicU32,
}

/// Why a task was not taken.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refused {
    /// The worker's queue is full.
    Busy,
    /// The worker has stopped.
    Stopped,
}

/// The bounds of workers.
pub(crate) struct Bounds {
    /// Tasks that wait for one worker.
    pub(crate) queue_max: usize,
    /// Tasks of one namespace that wait or run; more wait their turn outside the queue. One that carries bytes counts as
    /// one more for each [`PLACE_BYTES`]: it stays when its caller gives up, and so does what it carries.
    pub(crate) calls_per_namespace_max: usize,
}

/// Who waits for an answer. It goes with the task: a caller that gives up leaves its place taken until the work is done.
#[derive(Debug)]
pub(crate) struct Asker<R> {
    reply: oneshot::Sender<R>,
    turn: OwnedSemaphorePermit,
    unanswered: Unanswered,
}

/// Counts a task of a worker for as long as it lives.
#[derive(Debug)]
struct Unanswered(Arc<AtomicUsize>);

impl Unanswered {
    fn new(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(all))
    }

    fn is_alone(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 1
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<R> Asker<R> {
    pub(crate) fn tell(self, answer: R) {
        let Self { reply, turn, unanswered } = self;
        // What the caller asks next must not find itself waiting.
        drop((turn, unanswered));
        // A caller whose deadline passed is gone.
        drop(reply.send(answer));
    }
}

impl<W: Worker> std::fmt::Debug for Workers<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").field("count", &self.shards.len()).finish_non_exhaustive()
    }
}

impl<W: Worker> Workers<W> {
    /// Starts so many, each made from its number.
    pub(crate) fn start(
        name: &str,
        count: usize,
        bounds: &Bounds,
        worker: impl Fn(usize) -> W,
    ) -> std::io::Result<Self> {
        let start = |index: usize| {
            let (queue, tasks) = sync_channel(bounds.queue_max);
            let worker = Arc::new(Mutex::new(worker(index)));
            let shared = Arc::clone(&worker);
            let thread = std::thread::Builder::new().name(format!("{name}-{index}"));
            thread.spawn(move || run(&shared, &tasks))?;
            Ok(Shard { worker, queue, unanswered: Arc::default(), alone: AtomicU32::new(0) })
        };
        let shards = (0..count).map(start).collect::<std::io::Result<_>>()?;
        Ok(Self {
            shards,
            turns: Cache::new(TURNS_MAX),
            calls_per_namespace_max: bounds.calls_per_namespace_max,
        })
    }

    /// Waits for the namespace's turn, has a task that carries so many bytes done, and waits for the answer.
    pub(crate) async fn ask<R>(
        &self,
        namespace: &Namespace,
        kind: Kind,
        bytes: usize,
        task: impl FnOnce(Asker<R>) -> W::Task,
    ) -> Result<R, Refused> {
        let turn = self.turn(namespace, bytes).await?;
        let shard = self.shards.get(shard(namespace, self.shards.len())).ok_or(Refused::Stopped)?;
        let unanswered = Unanswered::new(&shard.unanswered);
        let waits = may_wait();
        let is_alone = match kind {
            _ if waits.is_none() => false,
            Kind::Write => shard.is_alone(&unanswered).await,
            Kind::Glance | Kind::Read => unanswered.is_alone(),
        };
        let (reply, answer) = oneshot::channel();
        let task = task(Asker { reply, turn, unanswered });
        let glances =
            kind == Kind::Glance && waits.is_some_and(|runtime| runtime.metrics().num_workers() > 1);
        let left = if is_alone { shard.work_here(task, glances) } else { Some(task) };
        if let Some(task) = left {
            shard.queue.try_send(task).map_err(|error| match error {
                TrySendError::Full(_) => Refused::Busy,
                TrySendError::Disconnected(_) => Refused::Stopped,
            })?;
        }
        answer.await.map_err(|_| Refused::Stopped)
    }

    async fn turn(&self, namespace: &Namespace, bytes: usize) -> Result<OwnedSemaphorePermit, Refused> {
        let most = self.calls_per_namespace_max;
        let turns =
            self.turns.get_or_insert_with(namespace, || Ok::<_, Infallible>(Semaphore::new(most).into()));
        let Ok(turns) = turns;
        let places = u32::try_from((1 + bytes / PLACE_BYTES).min(most)).unwrap_or(u32::MAX);
        match Arc::clone(&turns).try_acquire_many_owned(places) {
            Ok(turn) => Ok(turn),
            Err(_) => turns.acquire_many_owned(places).await.map_err(|_| Refused::Stopped),
        }
    }
}

impl<W: Worker> Shard<W> {
    /// Whether a write has no company, and had none lately.
    async fn is_alone(&self, unanswered: &Unanswered) -> bool {
        let alone = self.alone.load(Ordering::Relaxed);
        if alone < ALONE_LEAST || alone.is_multiple_of(LOOK_EVERY) {
            pass().await;
        }
        if !unanswered.is_alone() {
            self.alone.store(0, Ordering::Relaxed);
            return false;
        }
        // It may come to a few more than there are, or fewer, where several do this.
        self.alone.store(alone.wrapping_add(1), Ordering::Relaxed);
        alone >= ALONE_LEAST
    }

    /// Has the task done on this thread; gives it back where the worker is busy, or has stopped.
    fn work_here(&self, task: W::Task, glances: bool) -> Option<W::Task> {
        let Ok(mut worker) = self.worker.try_lock() else { return Some(task) };
        let glance = if glances { GLANCE.try_lock().ok() } else { None };
        let work = || aside::run(|| worker.work_one(task));
        match glance {
            Some(_only) => work(),
            None => tokio::task::block_in_place(work),
        }
        None
    }
}

/// A worker's thread, until nobody can ask any more, or a task has panicked: nobody knows what its files are like then.
fn run<W: Worker>(worker: &Mutex<W>, tasks: &Receiver<W::Task>) {
    let Ok(sweep_every) = worker.lock().map(|worker| worker.sweep_every()) else { return };
    let mut sweep = Instant::now() + sweep_every;
    loop {
        let first = tasks.recv_timeout(sweep.saturating_duration_since(Instant::now()));
        if matches!(first, Err(RecvTimeoutError::Disconnected)) {
            return;
        }
        let Ok(mut worker) = worker.lock() else { return };
        if let Ok(first) = first {
            worker.work(std::iter::once(first).chain(tasks.try_iter()).take(W::BATCH));
        }
        if Instant::now() >= sweep {
            worker.sweep();
            sweep = Instant::now() + sweep_every;
        }
    }
}

/// The runtime whose task this thread runs and which can replace it, so that it may wait for a disk. None: others need the
/// thread. Those that guests go to when they use much CPU are few, and run no tasks of the runtime.
fn may_wait() -> Option<Handle> {
    tokio::task::try_id()?;
    Handle::try_current().ok().filter(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// Lets what else is ready go first.
async fn pass() {
    let mut passed = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut passed, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// The tasks of each namespace, in the order in which they came.
pub(crate) fn by_namespace<T>(
    tasks: impl Iterator<Item = T>,
    namespace: impl Fn(&T) -> &Namespace,
) -> Vec<(Namespace, Vec<T>)> {
    // A batch is small, and most of it is of one namespace.
    let mut all: Vec<(Namespace, Vec<T>)> = Vec::new();
    for task in tasks {
        let name = namespace(&task);
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, tasks)) => tasks.push(task),
            None => all.push((name.clone(), vec![task])),
        }
    }
    all
}

/// The worker that a namespace belongs to.
pub(crate) fn shard(namespace: &Namespace, workers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    namespace.hash(&mut hasher);
    usize::try_from(hasher.finish() % workers as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests;
