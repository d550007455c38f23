//! What the backend's calls and its tasks share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ::redis::FromRedisValue;
use micro_api::name::Namespace;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::bells::Bells;
use super::names;
use super::scripts::Scripts;
use crate::broker::metrics::{Counts, Event};
use crate::broker::{Error, GroupKey, MemoryConfig, TopicKey};
use crate::redis::{Call, Failure, Redis as Server, Script};

/// How often a process says that it is alive. Its lease, which the scripts know, lasts 5 s.
const RENEW_EVERY: Duration = Duration::from_millis(1_500);
/// How long that may take, and the wait before it is tried again.
const RENEW_WITHIN: Duration = Duration::from_secs(1);
const RENEW_AGAIN: Duration = Duration::from_millis(200);
/// How long it is tried to learn what came of a call whose connection broke, and the wait between.
const RETRY: Duration = Duration::from_secs(3);
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Processes have numbers below this, again and again; one begins claims with its own.
const PROCESSES: u64 = 1 << 16;
/// Claims of one process, likewise. Both together are a number that the server keeps exactly, as its scripts take it.
const CLAIMS: u64 = 1 << 37;

pub(super) struct Inner {
    pub(super) server: Arc<Server>,
    pub(super) scripts: Scripts,
    pub(super) bounds: MemoryConfig,
    pub(super) bells: Arc<Bells>,
    pub(super) counts: Mutex<Counts>,
    /// Names this process; no other that lives has it.
    process: u64,
    claims: AtomicU64,
    /// Groups and bytes of the whole platform, as they were a moment ago.
    groups: AtomicU64,
    bytes: AtomicU64,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away(reason) => Self::Away(reason),
            Failure::Unknown(reason) => Self::Unsure(reason),
            Failure::Busy => Self::Away(Failure::Busy.to_string()),
            Failure::Full => Self::ServerFull,
            Failure::Wrong(reason) => Self::Backend(reason),
        }
    }
}

impl Inner {
    /// Takes a number for this process, and says that it lives.
    pub(super) async fn open(
        server: Arc<Server>,
        scripts: Scripts,
        bounds: MemoryConfig,
    ) -> Result<Arc<Self>, Error> {
        let mut count = ::redis::cmd("HINCRBY");
        count.arg(names::sums(server.prefix())).arg("process").arg(1);
        let number: u64 = server.retried(&Call::plain(count)).await?;
        let inner = Arc::new(Self {
            server,
            scripts,
            bounds,
            bells: Arc::default(),
            counts: Mutex::default(),
            process: number % PROCESSES,
            // Not from 0: a server that lost its last moments may give a number twice, but no two claims are one then.
            claims: AtomicU64::new(uuid::Uuid::new_v4().as_u64_pair().1 % CLAIMS),
            groups: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        inner.renew().await?;
        Ok(inner)
    }

    /// A script about a namespace; its own arguments come after.
    pub(super) fn on<'a>(&self, script: &'a Script, namespace: &Namespace) -> Call<'a> {
        let prefix = self.server.prefix();
        let call = Call::script(script, &names::of_space(prefix, namespace));
        call.arg(names::root(prefix)).arg(namespace.to_string()).arg(self.process)
    }

    /// A script about a group.
    pub(super) fn on_group<'a>(&self, script: &'a Script, key: &GroupKey) -> Call<'a> {
        self.on(script, key.topic.namespace()).arg(names::member(key))
    }

    /// Makes a call that means the same when it is made again, until it is known what came of it.
    pub(super) async fn sure<T: FromRedisValue>(&self, call: &Call<'_>) -> Result<T, Error> {
        let until = Instant::now() + RETRY;
        let mut unsure: Option<String> = None;
        loop {
            let is_unsure = unsure.is_some();
            match (self.server.once(call).await, is_unsure) {
                (Ok(done), _) => return Ok(done),
                (Err(Failure::Unknown(reason)), _) => unsure = Some(reason),
                // That it had no memory for it means that it was not made before either.
                (Err(failure), false) | (Err(failure @ Failure::Full), true) => return Err(failure.into()),
                // Not made this time; whether it was before is still to be learnt.
                (Err(_), true) => {}
            }
            if let Some(reason) = unsure.take_if(|_| Instant::now() >= until) {
                return Err(Error::Unsure(reason));
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// A name for a claim.
    pub(super) fn next_claim(&self) -> u64 {
        self.process * CLAIMS + self.claims.fetch_add(1, Ordering::Relaxed) % CLAIMS
    }

    pub(super) fn count(&self, topic: &TopicKey, event: Event, times: u64) {
        if times > 0 {
            let mut counts = self.counts.lock();
            (0..times).for_each(|_| counts.add(topic, event));
        }
    }

    pub(super) fn metrics(&self) -> String {
        let groups = usize::try_from(self.groups.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        self.counts.lock().render(groups, self.bytes.load(Ordering::Relaxed))
    }

    pub(super) async fn renew(&self) -> Result<(), Failure> {
        let prefix = self.server.prefix();
        let renew = Call::script(&self.scripts.renew, &names::of_all(prefix));
        let renew = renew.arg(names::root(prefix)).arg("").arg(self.process);
        let (groups, bytes): (u64, u64) = self.server.retried(&renew).await?;
        self.groups.store(groups, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Says again and again that this process lives, until `stop`.
    pub(super) async fn live(&self, stop: CancellationToken) {
        let mut failing = false;
        loop {
            let pause = if failing { RENEW_AGAIN } else { RENEW_EVERY };
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            let renewed = tokio::time::timeout(RENEW_WITHIN, self.renew()).await;
            let error = match renewed {
                Ok(Ok(())) => {
                    failing = false;
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {RENEW_WITHIN:?}"),
            };
            // Once, and not every time.
            if !std::mem::replace(&mut failing, true) {
                tracing::warn!(
                    error,
                    "The broker's server does not hear from this node: others may take its messages over"
                );
            }
        }
    }
}

pub(super) fn ms(duration: Duration) -> u64 {
    /// The server's numbers are exact up to here, and beyond. Some 30 years.
    const MS_MAX: u64 = 1_000_000_000_000;
    u64::try_from(duration.as_millis()).unwrap_or(MS_MAX).min(MS_MAX)
}
