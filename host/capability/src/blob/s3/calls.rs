//! The bounds of all calls: how many at once, and how long one may take.

use std::future::Future;
use std::time::Duration;

use micro_s3::allowed;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::blob::Error;

/// Turns of the calls that are under way at once.
pub(super) struct Calls {
    turns: Semaphore,
    timeout: Duration,
}

impl Calls {
    pub(super) fn new(max: usize, timeout: Duration) -> Self {
        Self { turns: Semaphore::new(max.max(1)), timeout }
    }

    /// Makes a call that sends `bytes`, tries of its own included.
    ///
    /// # Errors
    /// [`Error::Busy`] when it has no turn in time, [`Error::Backend`] when there is no answer in time.
    pub(super) async fn make<T>(&self, bytes: usize, call: impl Future<Output = T>) -> Result<T, Error> {
        let turn = timeout(self.timeout, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| Error::Busy)?.map_err(|_| Error::Busy)?;
        let within = allowed(self.timeout, bytes);
        timeout(within, call)
            .await
            .map_err(|_| Error::Backend(format!("S3 gave no answer within {within:?}")))
    }
}
