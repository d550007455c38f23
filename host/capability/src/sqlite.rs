//! What the capabilities that keep SQLite files have in common: one file a namespace, and a few threads of our own that
//! do all work on them, each namespace always on the same one.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use micro_api::name::Namespace;
use moka::sync::Cache;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

const PAGE_BYTES: u64 = 4_096;
/// See [`Bounds::calls_per_namespace_max`].
const PLACE_BYTES: usize = 64 << 10;
/// Prepared statements that a file keeps: more than any capability has, so that none is prepared again and again.
const STATEMENTS_MAX: usize = 64;
/// Namespaces whose turns are known; one that was forgotten begins anew.
const TURNS_MAX: u64 = 65_536;
const TURNS_IDLE: Duration = Duration::from_secs(600);

/// Opens a namespace's file, which is durable when a transaction returns. Its size is bounded by SQLite itself: a write
/// beyond it fails as one on a full disk does. No path: in memory.
pub(crate) fn open(path: Option<&Path>, bytes_max: u64, pages_min: u64) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = match path {
        Some(path) => Connection::open_with_flags(path, flags)?,
        None => Connection::open_in_memory_with_flags(flags)?,
    };
    file.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES};
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA busy_timeout = 5000;
         PRAGMA cache_size = -512;
         PRAGMA journal_size_limit = 4194304;
         PRAGMA max_page_count = {};",
        pages_max(bytes_max, pages_min),
    ))?;
    file.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(file)
}

/// Bounds a file that is open anew. One that is larger already stays as it is, and grows no more.
pub(crate) fn bound(file: &Connection, bytes_max: u64, pages_min: u64) -> rusqlite::Result<()> {
    file.execute_batch(&format!("PRAGMA max_page_count = {};", pages_max(bytes_max, pages_min)))
}

fn pages_max(bytes_max: u64, pages_min: u64) -> u64 {
    (bytes_max / PAGE_BYTES).max(pages_min)
}

/// The threads, which end with this, and whose turn it is to ask them.
pub(crate) struct Threads<T> {
    queues: Vec<SyncSender<T>>,
    turns: Cache<Namespace, Arc<Semaphore>>,
    calls_per_namespace_max: usize,
}

/// Why a task was not taken.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refused {
    /// The thread's queue is full.
    Busy,
    /// The thread has stopped.
    Stopped,
}

/// The bounds of threads.
pub(crate) struct Bounds {
    /// Tasks that wait for one thread.
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
}

impl<R> Asker<R> {
    pub(crate) fn tell(self, answer: R) {
        let Self { reply, turn } = self;
        drop(turn);
        // A caller whose deadline passed is gone.
        drop(reply.send(answer));
    }
}

impl<T> std::fmt::Debug for Threads<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("count", &self.queues.len()).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Threads<T> {
    /// Starts so many. `worker` makes what one runs, from its number.
    pub(crate) fn start<W: FnOnce(Receiver<T>) + Send + 'static>(
        name: &str,
        count: usize,
        bounds: &Bounds,
        worker: impl Fn(usize) -> W,
    ) -> std::io::Result<Self> {
        let start = |index: usize| {
            let (queue, tasks) = sync_channel(bounds.queue_max);
            let worker = worker(index);
            let thread = std::thread::Builder::new().name(format!("{name}-{index}"));
            thread.spawn(move || worker(tasks))?;
            Ok(queue)
        };
        let queues = (0..count).map(start).collect::<std::io::Result<_>>()?;
        let turns = Cache::builder().max_capacity(TURNS_MAX).time_to_idle(TURNS_IDLE).build();
        Ok(Self { queues, turns, calls_per_namespace_max: bounds.calls_per_namespace_max })
    }

    /// Waits for the namespace's turn, queues a task that carries so many bytes on its thread, and waits for the answer.
    pub(crate) async fn ask<R>(
        &self,
        namespace: &Namespace,
        bytes: usize,
        task: impl FnOnce(Asker<R>) -> T,
    ) -> Result<R, Refused> {
        let turn = self.turn(namespace, bytes).await?;
        let queue = self.queues.get(shard(namespace, self.queues.len())).ok_or(Refused::Stopped)?;
        let (reply, answer) = oneshot::channel();
        queue.try_send(task(Asker { reply, turn })).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Busy,
            TrySendError::Disconnected(_) => Refused::Stopped,
        })?;
        answer.await.map_err(|_| Refused::Stopped)
    }

    async fn turn(&self, namespace: &Namespace, bytes: usize) -> Result<OwnedSemaphorePermit, Refused> {
        let most = self.calls_per_namespace_max;
        let turns = self.turns.get_with_by_ref(namespace, || Arc::new(Semaphore::new(most)));
        let places = u32::try_from((1 + bytes / PLACE_BYTES).min(most)).unwrap_or(u32::MAX);
        turns.acquire_many_owned(places).await.map_err(|_| Refused::Stopped)
    }
}

/// The thread that a namespace belongs to.
pub(crate) fn shard(namespace: &Namespace, threads: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    namespace.hash(&mut hasher);
    usize::try_from(hasher.finish() % threads as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_carries_much_takes_more_places_and_never_more_than_there_are() {
        let (send, tasks) = std::sync::mpsc::channel();
        let bounds = Bounds { queue_max: 64, calls_per_namespace_max: 4 };
        let threads = Threads::start("test", 1, &bounds, |_| {
            let send = send.clone();
            move |tasks: Receiver<Asker<()>>| tasks.iter().for_each(|task| drop(send.send(task)))
        });
        let (threads, namespace) = (threads.unwrap(), "tests".parse().unwrap());
        let ask = |bytes| Box::pin(threads.ask(&namespace, bytes, |asker| asker));
        let (mut three, mut two, mut one) = (ask(2 * PLACE_BYTES), ask(PLACE_BYTES), ask(0));
        assert!(futures::poll!(&mut three).is_pending() && futures::poll!(&mut two).is_pending());
        assert!(futures::poll!(&mut one).is_pending());
        tasks.recv().unwrap().tell(());
        assert!(three.await.is_ok() && tasks.try_recv().is_err(), "the second waits for two places");
        assert!(futures::poll!(&mut two).is_pending());
        // One that carries more than all of it comes when it is alone.
        let mut all = ask(usize::MAX / 2);
        assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut all).is_pending());
        tasks.recv().unwrap().tell(());
        tasks.recv().unwrap().tell(());
        assert!(two.await.is_ok() && one.await.is_ok());
        assert!(futures::poll!(&mut all).is_pending());
        tasks.recv().unwrap().tell(());
        assert!(all.await.is_ok());
    }
}
