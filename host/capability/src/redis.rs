//! Redis as a server that capabilities keep their data in: connecting, bounds, and what its settings are worth.
//!
//! Calls share a few connections, each of which carries many at once. A connection that broke is replaced; a call that
//! is safe to repeat is tried again, one that is not says that nobody knows whether it happened.

mod call;
mod failure;
mod hear;
#[cfg(test)]
pub(crate) mod server;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisResult};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

pub(crate) use call::{Call, Script};
pub(crate) use failure::Failure;
use failure::{failed, is_broken, is_loading};
pub(crate) use hear::{Heard, Hearing};

/// A connection that was idle for so long is asked whether it still is one, before a call goes over it: a call that must
/// not be made twice has only this one use of it.
pub(crate) const ASKED_AFTER_IDLE: Duration = Duration::from_secs(1);
/// It must answer within.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// A call is not tried again after so long.
const RETRY: Duration = Duration::from_secs(3);

/// Where the server is, and the bounds of what goes there.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://user:password@host:port/database`; `rediss://` asks for TLS, verified by the system's roots.
    pub url: String,
    /// What the names of all keys begin with: 1 to 64 of `a-z0-9_-`. Platforms that share a server have one each.
    pub prefix: String,
    /// Connections of this process.
    pub connections_max: usize,
    /// Calls under way at once; more wait.
    pub calls_max: usize,
    /// How long a call waits for its turn, and for a connection.
    pub acquire_timeout: Duration,
    /// How long a call may take in all.
    pub call_timeout: Duration,
}

impl RedisConfig {
    /// The defaults: prefix `micro`, 4 connections, 1 024 calls, 3 s for a connection, 10 s a call.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "micro".to_owned(),
            connections_max: 4,
            calls_max: 1_024,
            acquire_timeout: Duration::from_secs(3),
            call_timeout: Duration::from_secs(10),
        }
    }
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.debug_struct("RedisConfig").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// A server that was found fit to keep what must not be lost.
pub(crate) struct Redis {
    client: Client,
    prefix: String,
    slots: Vec<Slot>,
    next: AtomicUsize,
    turns: Semaphore,
    acquire_timeout: Duration,
    call_timeout: Duration,
}

/// A call that may have been done.
enum Lost {
    Broken(String),
    Silent,
}

/// A place for one connection.
type Slot = Mutex<Place>;

#[derive(Default)]
struct Place {
    connection: Option<MultiplexedConnection>,
    used: Option<Instant>,
    /// How many connections this place has seen: a call that broke one must not close its successor.
    number: u64,
}

/// A connection as a call has it, with its turn.
struct Lent<'a> {
    connection: MultiplexedConnection,
    slot: &'a Slot,
    number: u64,
    _turn: SemaphorePermit<'a>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects and reads the server's settings. Warns by `tracing` which guarantee is weaker there.
    ///
    /// # Errors
    /// When it cannot be reached, refuses, is no primary, is a cluster, or would throw records away for want of memory.
    pub(crate) async fn open(config: &RedisConfig) -> Result<Arc<Self>, Failure> {
        let named = (1..=64).contains(&config.prefix.len())
            && config.prefix.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if !named {
            return Err(Failure::Wrong(format!("`{}` is no prefix for keys in Redis", config.prefix)));
        }
        let client = Client::open(config.url.as_str())
            .map_err(|_| Failure::Wrong("the address is not a Redis URL".to_owned()))?;
        let redis = Arc::new(Self {
            client,
            prefix: config.prefix.clone(),
            slots: (0..config.connections_max.max(1)).map(|_| Slot::default()).collect(),
            next: AtomicUsize::new(0),
            turns: Semaphore::new(config.calls_max.max(1)),
            acquire_timeout: config.acquire_timeout,
            call_timeout: config.call_timeout,
        });
        settings::check(&redis).await.map_err(|failure| match failure {
            // A server without it says nothing, or what is no TLS.
            Failure::Away(reason) if config.url.starts_with("rediss:") => {
                Failure::Away(format!("{reason} (rediss:// asks for TLS: does the server speak it?)"))
            }
            other => other,
        })?;
        Ok(redis)
    }

    /// What the names of all keys begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether the server answers now.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        self.retried::<String>(&Call::plain(::redis::cmd("PING"))).await.map(drop)
    }

    /// Makes a call that may be made twice: again on another connection, if the one it was on turns out to be broken.
    pub(crate) async fn retried<T: FromRedisValue>(&self, call: &Call<'_>) -> Result<T, Failure> {
        let until = Instant::now() + self.call_timeout;
        let retry = Instant::now() + RETRY.min(self.call_timeout);
        let mut tries = 0;
        loop {
            match self.attempt(call, until).await? {
                Ok(done) => return Ok(done),
                // Each connection may be as broken as this one.
                Err(Lost::Broken(_)) if tries <= self.slots.len() && Instant::now() < retry => tries += 1,
                Err(Lost::Broken(reason)) => return Err(Failure::Away(reason)),
                Err(Lost::Silent) => return Err(self.silent()),
            }
        }
    }

    /// Makes a call that must not be made twice.
    pub(crate) async fn once<T: FromRedisValue>(&self, call: &Call<'_>) -> Result<T, Failure> {
        let until = Instant::now() + self.call_timeout;
        self.attempt(call, until).await?.map_err(|lost| match lost {
            Lost::Broken(reason) => Failure::Unknown(reason),
            Lost::Silent => Failure::Unknown(self.silent().to_string()),
        })
    }

    /// Makes a call on one connection. The outer error: it was not done.
    async fn attempt<T: FromRedisValue>(
        &self,
        call: &Call<'_>,
        until: Instant,
    ) -> Result<Result<T, Lost>, Failure> {
        let lend = tokio::time::timeout_at(until.into(), self.lend()).await;
        let mut lent = lend.map_err(|_| self.silent())??;
        match tokio::time::timeout_at(until.into(), call.make(&mut lent.connection)).await {
            Ok(Ok(done)) => Ok(Ok(done)),
            Ok(Err(error)) if is_broken(&error) => {
                lent.give_up().await;
                Ok(Err(Lost::Broken(error.to_string())))
            }
            Ok(Err(error)) => Err(failed(&error)),
            Err(_) => {
                // What is so slow may never answer: the next call goes another way.
                lent.give_up().await;
                Ok(Err(Lost::Silent))
            }
        }
    }

    fn silent(&self) -> Failure {
        Failure::Away(format!("no answer within {:?}", self.call_timeout))
    }

    async fn lend(&self) -> Result<Lent<'_>, Failure> {
        let until = tokio::time::Instant::now() + self.acquire_timeout;
        let turn = tokio::time::timeout_at(until, self.turns.acquire()).await;
        let turn = turn.map_err(|_| Failure::Busy)?.map_err(|_| Failure::Busy)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        let slot = self.slots.get(number).ok_or(Failure::Busy)?;
        let lend = async {
            let mut place = slot.lock().await;
            let idle = place.used.is_some_and(|used| used.elapsed() >= ASKED_AFTER_IDLE);
            if let Some(connection) = place.connection.as_mut().filter(|_| idle)
                && !answers(connection).await
            {
                place.connection = None;
            }
            if place.connection.is_none() {
                let connection = self.connect().await.map_err(|error| failed(&error))?;
                place.connection = Some(connection);
                place.number += 1;
            }
            place.used = Some(Instant::now());
            let connection = place.connection.clone().ok_or(Failure::Busy)?;
            Ok(Lent { connection, slot, number: place.number, _turn: turn })
        };
        tokio::time::timeout_at(until, lend).await.map_err(|_| self.no_entry())?
    }

    fn no_entry(&self) -> Failure {
        Failure::Away(format!("it did not let us in within {:?}", self.acquire_timeout))
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        // The bounds on time are ours, one for all that a call does.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

impl Lent<'_> {
    /// Nobody else gets this connection.
    async fn give_up(self) {
        let mut place = self.slot.lock().await;
        if place.number == self.number {
            place.connection = None;
        }
    }
}

async fn answers(connection: &mut MultiplexedConnection) -> bool {
    let ping: Cmd = ::redis::cmd("PING");
    let answer = tokio::time::timeout(ANSWERS_WITHIN, ping.query_async::<String>(connection)).await;
    match answer {
        Ok(Ok(_)) => true,
        // It is one; that the server is not ready, the call will hear.
        Ok(Err(error)) => is_loading(&error),
        Err(_) => false,
    }
}
