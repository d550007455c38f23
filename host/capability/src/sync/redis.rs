//! Locks in Redis: nodes that name the same server and prefix share them.
//!
//! Every call is one script and one round trip, and the time that decides what has expired is the server's. All calls
//! mean the same when they are made twice, so one whose connection broke is made again. Who waits is woken by what a
//! release publishes, and asks by itself now and then, since what is published may be missed.
//!
//! Redis acknowledges before its replicas have what it acknowledged: after a failover a lock may be granted while its
//! holder still has it. The fence tells them apart, being no less than the server's clock: see `docs/locks.md`.

mod names;
mod queues;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::backend::new_token;
use super::taking::{LockServer, TRIES_MAX, Tried, try_to_take};
use super::waiters::Waiters;
use super::{Backend, Claim, Error, HELD_MAX, Lock, LockKey, TTL_MAX};
use crate::redis::{Call, Failure, Heard, Hearing, Redis as Server, RedisConfig, Script};
use queues::{Place, Queues};

const COMMON: &str = include_str!("redis/common.lua");
/// Where the memory is full, a lock that is held can be renewed all the same: that needs none.
const RENEW_FLAGS: &str = "#!lua flags=allow-oom\n";
/// For each so many of a namespace that wait in this process, all of them ask that much less often.
const POLLED_AT_FULL_RATE: usize = 100;
/// A namespace's locks go so long after the last was taken or renewed: all have expired by then.
const KEPT: Duration = TTL_MAX.saturating_add(Duration::from_secs(60));

/// Where the locks are, and the bounds of their use.
#[derive(Debug, Clone)]
pub struct RedisSyncConfig {
    /// The server.
    pub server: RedisConfig,
    /// How often who waits asks, unless woken before.
    pub poll: Duration,
}

impl RedisSyncConfig {
    /// The defaults: those of [`RedisConfig`], and a question each second.
    pub fn new(url: impl Into<String>) -> Self {
        Self { server: RedisConfig::new(url), poll: Duration::from_secs(1) }
    }
}

/// Locks of all nodes.
#[derive(Debug)]
pub struct Redis {
    locks: Arc<Locks>,
    waiters: Arc<Waiters>,
    queues: Arc<Queues>,
    tries: Arc<Semaphore>,
    poll: Duration,
    _hearing: Hearing,
}

/// The server with what is asked there.
#[derive(Debug)]
struct Locks {
    server: Arc<Server>,
    channel: String,
    take: Script,
    renew: Script,
    release: Script,
    holder: Script,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away(reason) | Failure::Unknown(reason) => Self::Away(reason),
            Failure::Busy => Self::Busy,
            Failure::Full => Self::Memory,
            Failure::Wrong(reason) => Self::Backend(reason),
        }
    }
}

impl Redis {
    /// Connects, reads what the server's settings are worth, and begins to listen for locks that become free.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, is a replica or part of a cluster, or would throw locks away when its
    /// memory is full.
    pub async fn open(config: &RedisSyncConfig) -> Result<Arc<Self>, Error> {
        let server = Server::open(&config.server).await?;
        let channel = names::channel(server.prefix());
        let queues = Arc::<Queues>::default();
        let bells = Arc::clone(&queues);
        let hearing = server.hear(channel.clone(), move |heard| match heard {
            // What is no text names no lock.
            Heard::Message(name) => bells.ring(std::str::from_utf8(name).unwrap_or_default()),
            Heard::Begins => bells.ring_all(),
        });
        let locks = Arc::new(Locks {
            server,
            channel,
            take: Script::new(&[COMMON, include_str!("redis/take.lua")]),
            renew: Script::new(&[RENEW_FLAGS, COMMON, include_str!("redis/renew.lua")]),
            release: Script::new(&[COMMON, include_str!("redis/release.lua")]),
            holder: Script::new(&[COMMON, include_str!("redis/holder.lua")]),
        });
        Ok(Arc::new(Self {
            locks,
            waiters: Arc::default(),
            queues,
            tries: Arc::new(Semaphore::new(TRIES_MAX)),
            poll: config.poll,
            _hearing: hearing,
        }))
    }

    /// Until one that waits asks again by itself. The first of a lock's queue does so when the lock expires; the others
    /// are woken when it is their turn.
    fn pause(&self, place: &Place, left: Duration) -> Duration {
        let times = u32::try_from(1 + place.count() / POLLED_AT_FULL_RATE).unwrap_or(1);
        let pause = self.poll * times;
        if place.is_first() { pause.min(left.max(Duration::from_millis(1))) } else { pause }
    }
}

impl Locks {
    /// A script on a lock; its own arguments come after.
    fn call<'a>(&self, script: &'a Script, key: &LockKey) -> Call<'a> {
        Call::script(script, &names::keys(self.server.prefix(), key.namespace())).arg(names::lock(key))
    }
}

#[async_trait]
impl LockServer for Locks {
    async fn take(&self, key: &LockKey, claim: &Claim, token: &str) -> Result<Tried<Lock>, Error> {
        let holder = claim.holder.as_ref().map(|holder| format!("={holder}")).unwrap_or_default();
        let call = self.call(&self.take, key).arg(token).arg(holder);
        let call = call.arg(milliseconds(claim.ttl)).arg(HELD_MAX).arg(milliseconds(KEPT));
        let (state, fence, left_ms): (i64, u64, i64) = self.server.retried(&call).await?;
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        match state {
            0 => Ok(Tried::Taken(Lock { token: token.to_owned(), fence, left })),
            1 => Ok(Tried::Held(left)),
            _ => Err(Error::Full),
        }
    }

    async fn release(&self, key: &LockKey, token: &str) -> Result<bool, Error> {
        let call = self.call(&self.release, key).arg(token).arg(&self.channel).arg(names::everywhere(key));
        Ok(self.server.retried::<i64>(&call).await? > 0)
    }
}

#[async_trait]
impl Backend for Redis {
    async fn acquire(&self, key: &LockKey, claim: Claim) -> Result<Lock, Error> {
        // One for all tries: then the server knows which of them it has done already.
        let token = new_token();
        let mut place: Option<Place> = None;
        loop {
            let left = match try_to_take(&self.tries, &self.locks, key, &claim, &token).await? {
                Tried::Taken(taken) => return taken.keep(),
                Tried::Held(left) => left,
            };
            let now = Instant::now();
            if claim.until <= now {
                return Err(Error::Timeout);
            }
            let Some(place) = &place else {
                let counted = self.waiters.enter(key.namespace())?;
                place = Some(self.queues.enter(names::everywhere(key), counted));
                // Nobody would have woken it when the lock became free just now.
                continue;
            };
            let until = claim.until.min(now + self.pause(place, left));
            // Whichever comes first, it asks again.
            let _ = timeout_at(until, place.rung()).await;
        }
    }

    async fn renew(&self, key: &LockKey, token: &str, ttl: Duration) -> Result<bool, Error> {
        let call = self.locks.call(&self.locks.renew, key).arg(token).arg(milliseconds(ttl));
        let call = call.arg(milliseconds(KEPT)).arg(&self.locks.channel).arg(names::everywhere(key));
        Ok(self.locks.server.retried::<i64>(&call).await? > 0)
    }

    async fn release(&self, key: &LockKey, token: &str) -> Result<bool, Error> {
        self.locks.release(key, token).await
    }

    async fn holder(&self, key: &LockKey) -> Result<Option<String>, Error> {
        let call = self.locks.call(&self.locks.holder, key);
        let holder: String = self.locks.server.retried(&call).await?;
        Ok(holder.strip_prefix('=').map(str::to_owned))
    }

    async fn check(&self) -> Result<(), Error> {
        Ok(self.locks.server.check().await?)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
