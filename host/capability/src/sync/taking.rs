//! Asking a server for a lock: one that was taken for a call that is gone is released again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot};

use super::{Claim, Error, Lock, LockKey};

/// Questions of a process under way at once, those among them whose calls are gone.
pub(super) const TRIES_MAX: usize = 1_000;

/// A server of locks. Both calls mean the same when they are made twice.
#[async_trait]
pub(super) trait LockServer: Send + Sync + 'static {
    /// Takes a lock, unless another holds it.
    async fn take(&self, key: &LockKey, claim: &Claim, token: &str) -> Result<Tried<Lock>, Error>;

    /// One that is tried again, because its connection broke, may find that it was done before: the answer is false then.
    async fn release(&self, key: &LockKey, token: &str) -> Result<bool, Error>;
}

/// What one try came to.
pub(super) enum Tried<T> {
    Taken(T),
    /// Another holds it, for so long.
    Held(Duration),
}

/// A lock that nobody has yet: released when it is dropped, as when the call that wanted it is gone.
pub(super) struct Taken<S: LockServer> {
    server: Arc<S>,
    key: LockKey,
    lock: Option<Lock>,
}

/// Asks once. The question is asked to its end even if nobody waits for the answer: what the server did must be known, to
/// be undone then.
pub(super) async fn try_to_take<S: LockServer>(
    tries: &Arc<Semaphore>,
    server: &Arc<S>,
    key: &LockKey,
    claim: &Claim,
    token: &str,
) -> Result<Tried<Taken<S>>, Error> {
    let permit = Arc::clone(tries).try_acquire_owned().map_err(|_| Error::Busy)?;
    let (send, answer) = oneshot::channel();
    let (server, key, claim, token) = (Arc::clone(server), key.clone(), claim.clone(), token.to_owned());
    tokio::spawn(async move {
        let tried = server.take(&key, &claim, &token).await.map(|tried| match tried {
            Tried::Taken(lock) => Tried::Taken(Taken { server, key, lock: Some(lock) }),
            Tried::Held(left) => Tried::Held(left),
        });
        // If nobody is there any more, it is dropped here, and so released.
        drop(send.send(tried));
        drop(permit);
    });
    answer.await.map_err(|_| Error::Backend("the question was not asked to its end".to_owned()))?
}

impl<S: LockServer> Taken<S> {
    /// Somebody has it from now on.
    pub(super) fn keep(mut self) -> Result<Lock, Error> {
        self.lock.take().ok_or_else(|| Error::Backend("a lock was given twice".to_owned()))
    }
}

impl<S: LockServer> Drop for Taken<S> {
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        let (server, key) = (Arc::clone(&self.server), self.key.clone());
        // None: the process ends, and the lock with its time.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = server.release(&key, &lock.token).await {
                tracing::warn!(%error, "A lock of a call that is gone stays held until it expires");
            }
        });
    }
}
