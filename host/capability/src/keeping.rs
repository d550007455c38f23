//! What goes on beside a backend's calls: it removes what counts for nothing any more.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Cleans now and then, in a task that ends with `of`; the first time only after `every`. `failing` is what to say when it
/// cannot.
pub(crate) fn keep_clean<T, E, F>(
    of: &Arc<T>,
    every: Duration,
    failing: &'static str,
    clean: impl Fn(Arc<T>) -> F + Send + 'static,
) where
    T: Send + Sync + 'static,
    E: Display + Send,
    F: Future<Output = Result<(), E>> + Send,
{
    let of = Arc::downgrade(of);
    tokio::spawn(async move {
        let mut told = ToldOnce::default();
        loop {
            tokio::time::sleep(every).await;
            let Some(of) = of.upgrade() else { return };
            told.note(&clean(of).await, failing);
        }
    });
}

/// Says that something fails when it begins to, and not each time.
#[derive(Debug, Default)]
pub(crate) struct ToldOnce {
    failing: bool,
}

impl ToldOnce {
    pub(crate) fn note<E: Display>(&mut self, done: &Result<(), E>, what: &str) {
        if let Err(error) = done
            && !self.failing
        {
            tracing::warn!(%error, "{what}");
        }
        self.failing = done.is_err();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_after_a_failure_and_ends_with_what_it_cleans() {
        let cleaned = Arc::new(AtomicU32::new(0));
        keep_clean(&cleaned, Duration::from_secs(60), "it fails", |cleaned| async move {
            let before = cleaned.fetch_add(1, Ordering::SeqCst);
            if before == 0 { Err("the first time") } else { Ok(()) }
        });
        let second = Duration::from_secs(1);
        tokio::time::sleep(60 * second - Duration::from_millis(1)).await;
        assert_eq!(cleaned.load(Ordering::SeqCst), 0, "not at once");
        tokio::time::sleep(120 * second).await;
        assert_eq!(cleaned.load(Ordering::SeqCst), 2);
        let gone = Arc::downgrade(&cleaned);
        drop(cleaned);
        assert!(gone.upgrade().is_none(), "it keeps nothing alive");
    }
}
