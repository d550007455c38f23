//! The same loop without a guest.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, TryStreamExt};

use super::looper::{Sample, Turn};

/// One operation, by its number.
type Step = dyn Fn(u64) -> BoxFuture<'static, Result<()>> + Send + Sync;
type BlockingStep = dyn Fn(u64) -> Result<()> + Send + Sync;

/// See the module.
#[derive(Clone)]
pub(super) enum Floor {
    Async(Arc<Step>),
    /// Of a library that knows no futures: as many threads as there are operations at once.
    Blocking(Arc<BlockingStep>),
}

impl Floor {
    pub(super) fn new<F>(step: impl Fn(u64) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Self::Async(Arc::new(move |number| -> BoxFuture<'static, Result<()>> { Box::pin(step(number)) }))
    }

    pub(super) fn blocking(step: impl Fn(u64) -> Result<()> + Send + Sync + 'static) -> Self {
        Self::Blocking(Arc::new(step))
    }

    /// The same from a program that may not wait in the thread that asks, as ours may not: each operation by a thread that
    /// may. None where the library does that itself.
    pub(super) fn apart(&self) -> Option<Self> {
        let Self::Blocking(step) = self else { return None };
        let step = Arc::clone(step);
        Some(Self::new(move |number| {
            let step = Arc::clone(&step);
            async move { tokio::task::spawn_blocking(move || step(number)).await.context("the floor")? }
        }))
    }

    pub(super) async fn run(&self, turn: Turn) -> Result<Sample> {
        match self {
            Self::Async(step) => run(step, turn).await,
            Self::Blocking(step) => {
                let step = Arc::clone(step);
                tokio::task::spawn_blocking(move || run_blocking(&*step, turn)).await.context("the floor")?
            }
        }
    }
}

/// The operations of a turn that are still to be done, and what those that are done took.
#[derive(Default)]
struct Book {
    next: AtomicU64,
    nanos: Mutex<Vec<u64>>,
}

impl Book {
    fn next(&self, turn: Turn) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < turn.count).then_some(turn.first + number)
    }

    fn note(&self, since: Instant) {
        self.nanos.lock().unwrap_or_else(PoisonError::into_inner).push(nanos(since));
    }

    fn sample(&self, turn: Turn, since: Instant) -> Sample {
        let all = nanos(since);
        let mut each = self.nanos.lock().unwrap_or_else(PoisonError::into_inner);
        each.sort_unstable();
        Sample::new(turn, all, each.get(each.len() / 2).copied().unwrap_or_default())
    }
}

async fn run(step: &Arc<Step>, turn: Turn) -> Result<Sample> {
    let book = Arc::new(Book::default());
    let since = Instant::now();
    let workers: FuturesUnordered<_> =
        (0..turn.concurrency).map(|_| work(Arc::clone(step), Arc::clone(&book), turn)).collect();
    workers.try_collect::<()>().await?;
    Ok(book.sample(turn, since))
}

async fn work(step: Arc<Step>, book: Arc<Book>, turn: Turn) -> Result<()> {
    while let Some(number) = book.next(turn) {
        let since = Instant::now();
        step(number).await?;
        book.note(since);
    }
    Ok(())
}

fn run_blocking(step: &BlockingStep, turn: Turn) -> Result<Sample> {
    let book = Book::default();
    let since = Instant::now();
    let work = || {
        while let Some(number) = book.next(turn) {
            let since = Instant::now();
            step(number)?;
            book.note(since);
        }
        anyhow::Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..turn.concurrency).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| anyhow::anyhow!("a thread of the floor panicked"))?
        })
    })?;
    Ok(book.sample(turn, since))
}

pub(super) fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
