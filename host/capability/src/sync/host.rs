//! The `locks` import.

use std::time::Duration;

use micro_api::Error;
use tokio::time::Instant;
use wasmtime::component::Accessor;

use super::backend::check_ttl;
use super::key::check_name;
use super::{Claim, Lock, LockKey};
use crate::bindings::platform::micro::platform::{locks as wit, types};
use crate::bindings::platform_sync::micro::platform_sync::{locks as wit_sync, types as types_sync};
use crate::ctx::waits;
use crate::{Ctx, Handle, HasCapability, View};

pub(super) const ID: &str = "go.micro.sync";
/// What a guest has left to do something with the answer, when it waited as long as it could.
const RESERVE: Duration = Duration::from_millis(250);

impl From<super::Error> for Error {
    fn from(error: super::Error) -> Self {
        use super::Error as Sync;
        match error {
            Sync::Name | Sync::Ttl => Self::bad_request(ID, error.to_string()),
            Sync::Timeout => Self::timeout(ID, error.to_string()),
            Sync::Full | Sync::Waiters => Self::new(ID, 429, error.to_string()),
            Sync::Busy => Self::new(ID, 503, error.to_string()),
            Sync::Memory => {
                tracing::warn!(%error, "call of a lock failed");
                Self::new(ID, 507, "the server of the locks has no room left: its operator has to make some")
            }
            Sync::Away(_) => {
                tracing::warn!(%error, "call of a lock failed");
                Self::new(ID, 503, "the server of the locks does not answer: try again")
            }
            Sync::Backend(_) => {
                tracing::error!(%error, "call of a lock failed");
                Self::internal(ID, "the lock failed; its operator finds the reason in the server's log")
            }
        }
    }
}

/// A time to live that a lock may have.
fn ttl(ttl_ms: u64) -> Result<Duration, Error> {
    let ttl = Duration::from_millis(ttl_ms);
    check_ttl(ttl)?;
    Ok(ttl)
}

impl Handle {
    fn lock_key(&self, name: &str) -> Result<LockKey, Error> {
        Ok(LockKey::own(&self.guest.scope, name)?)
    }

    pub(crate) async fn lock_acquire(
        &self,
        name: &str,
        holder: Option<String>,
        ttl_ms: u64,
        wait_ms: u64,
    ) -> Result<Lock, Error> {
        if let Some(holder) = &holder {
            check_name(holder)?;
        }
        let (key, ttl) = (self.lock_key(name)?, ttl(ttl_ms)?);
        let wait = self.context.left().saturating_sub(RESERVE).min(Duration::from_millis(wait_ms));
        let claim = Claim { holder, ttl, until: Instant::now() + wait };
        let backend = &self.guest.capabilities.sync;
        self.bounded(ID, async { Ok(backend.acquire(&key, claim).await?) }).await
    }

    pub(crate) async fn lock_renew(&self, name: &str, token: &str, ttl_ms: u64) -> Result<bool, Error> {
        let (key, ttl) = (self.lock_key(name)?, ttl(ttl_ms)?);
        let backend = &self.guest.capabilities.sync;
        self.bounded(ID, async { Ok(backend.renew(&key, token, ttl).await?) }).await
    }

    pub(crate) async fn lock_release(&self, name: &str, token: &str) -> Result<bool, Error> {
        let key = self.lock_key(name)?;
        let backend = &self.guest.capabilities.sync;
        self.bounded(ID, async { Ok(backend.release(&key, token).await?) }).await
    }

    pub(crate) async fn lock_leader(&self, name: &str) -> Result<Option<String>, Error> {
        let key = self.lock_key(name)?;
        let backend = &self.guest.capabilities.sync;
        self.bounded(ID, async { Ok(backend.holder(&key).await?) }).await
    }
}

macro_rules! conversions {
    ($wit:ident) => {
        impl From<Lock> for $wit::Lock {
            fn from(lock: Lock) -> Self {
                let expires_in = u64::try_from(lock.left.as_millis()).unwrap_or(u64::MAX);
                Self { token: lock.token, fence: lock.fence, expires_in }
            }
        }
    };
}
conversions!(wit);
conversions!(wit_sync);

type Answer<R, E> = wasmtime::Result<Result<R, E>>;

impl<T: View> wit::HostWithStore<T> for HasCapability {
    async fn acquire(
        store: &Accessor<T, Self>,
        name: String,
        ttl_ms: u64,
        wait_ms: u64,
    ) -> Answer<wit::Lock, types::Error> {
        waits(store, ID, name.len(), |handle| async move {
            Ok(handle.lock_acquire(&name, None, ttl_ms, wait_ms).await?.into())
        })
        .await
    }

    async fn renew(
        store: &Accessor<T, Self>,
        name: String,
        token: String,
        ttl_ms: u64,
    ) -> Answer<bool, types::Error> {
        let bytes = name.len() + token.len();
        waits(store, ID, bytes, |handle| async move { handle.lock_renew(&name, &token, ttl_ms).await }).await
    }

    async fn release(store: &Accessor<T, Self>, name: String, token: String) -> Answer<bool, types::Error> {
        let bytes = name.len() + token.len();
        waits(store, ID, bytes, |handle| async move { handle.lock_release(&name, &token).await }).await
    }

    async fn campaign(
        store: &Accessor<T, Self>,
        name: String,
        id: String,
        ttl_ms: u64,
        wait_ms: u64,
    ) -> Answer<wit::Lock, types::Error> {
        let bytes = name.len() + id.len();
        waits(store, ID, bytes, |handle| async move {
            Ok(handle.lock_acquire(&name, Some(id), ttl_ms, wait_ms).await?.into())
        })
        .await
    }

    async fn leader(store: &Accessor<T, Self>, name: String) -> Answer<Option<String>, types::Error> {
        waits(store, ID, name.len(), |handle| async move { handle.lock_leader(&name).await }).await
    }
}

impl wit::Host for Ctx {}

impl wit_sync::Host for Ctx {
    async fn acquire(
        &mut self,
        name: String,
        ttl_ms: u64,
        wait_ms: u64,
    ) -> Answer<wit_sync::Lock, types_sync::Error> {
        let taken = self.handle().lock_acquire(&name, None, ttl_ms, wait_ms).await;
        Ok(taken.map(Into::into).map_err(Into::into))
    }

    async fn renew(&mut self, name: String, token: String, ttl_ms: u64) -> Answer<bool, types_sync::Error> {
        Ok(self.handle().lock_renew(&name, &token, ttl_ms).await.map_err(Into::into))
    }

    async fn release(&mut self, name: String, token: String) -> Answer<bool, types_sync::Error> {
        Ok(self.handle().lock_release(&name, &token).await.map_err(Into::into))
    }

    async fn campaign(
        &mut self,
        name: String,
        id: String,
        ttl_ms: u64,
        wait_ms: u64,
    ) -> Answer<wit_sync::Lock, types_sync::Error> {
        let taken = self.handle().lock_acquire(&name, Some(id), ttl_ms, wait_ms).await;
        Ok(taken.map(Into::into).map_err(Into::into))
    }

    async fn leader(&mut self, name: String) -> Answer<Option<String>, types_sync::Error> {
        Ok(self.handle().lock_leader(&name).await.map_err(Into::into))
    }
}
