//! The broker in Redis: nodes that name the same server and prefix share queues; what was published outlives them.
//!
//! Each call is one script, in one moment for everybody else and by the server's clock. Streams would not do: a group's
//! bound refuses the publisher before anybody has the message, a message comes again after a delay of its own, and a
//! group ends with all that it has, while a stream is one log of all groups that is trimmed without regard to them. So a
//! group is a list of what is ready, sorted sets of what is delayed, leased and dead, and a hash of messages.
//!
//! A call whose connection broke is made again: a message has an id and a claim has one, and the same once more is the
//! same one. Each process has a lease of 5 s that it renews; what a process had in delivery comes again once it ran out,
//! however long the message's own lease is, and its fan-out groups go.

mod bells;
mod head;
mod inner;
mod letters;
mod names;
mod scripts;
mod taken;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_api::name::Namespace;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::inner::{Inner, ms};
use self::scripts::Scripts;
use self::taken::Taken;
use super::backend::REASON_CHARS_MAX;
use super::metrics::Event;
use super::{
    Backend, Claim, Claimed, Dead, Error, Filter, Group, GroupKey, GroupState, MemoryConfig, Message, Token,
    TopicKey,
};
use crate::redis::{Call, Hearing, Redis as Server, RedisConfig};

/// Whoever waits looks so often even if nobody rings: a bell may be lost, and dead nodes ring none.
const POLL: Duration = Duration::from_secs(1);
/// For so long the same message again is the same publish: longer than it is tried again.
const RECENT: Duration = Duration::from_secs(60);
/// Most messages of a namespace that are known by it; the oldest are forgotten.
const RECENT_MAX: usize = 10_000;
/// Most groups that a namespace can be allowed: `publish.lua` writes their number beside a time.
const GROUPS_MAX: usize = 4_095;

/// Where the broker is, and its bounds.
#[derive(Debug, Clone)]
pub struct RedisBrokerConfig {
    /// The server. One connection more than it says is opened, to hear of new messages.
    pub server: RedisConfig,
    /// What groups, namespaces and all of them hold: of all nodes together. At most 4 095 groups a namespace.
    pub bounds: MemoryConfig,
}

impl RedisBrokerConfig {
    /// The defaults: those of [`RedisConfig`], and the bounds of the broker in memory.
    pub fn new(url: impl Into<String>) -> Self {
        Self { server: RedisConfig::new(url), bounds: MemoryConfig::default() }
    }
}

/// The broker of all processes that use the same server.
pub struct Redis {
    inner: Arc<Inner>,
    _hearing: Hearing,
    /// Ends the signs of life.
    _tasks: DropGuard,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("server", &self.inner.server).finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects, reads what the server's settings are worth, and begins to say that this process lives.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, is a replica or part of a cluster, or would throw messages away when
    /// its memory is full.
    pub async fn open(config: &RedisBrokerConfig) -> Result<Arc<Self>, Error> {
        Self::open_with(config, Scripts::new()).await
    }

    /// The same by a clock of a test's own.
    #[cfg(test)]
    pub(super) async fn open_by(config: &RedisBrokerConfig, clock: &str) -> Result<Arc<Self>, Error> {
        Self::open_with(config, Scripts::by(clock)).await
    }

    async fn open_with(config: &RedisBrokerConfig, scripts: Scripts) -> Result<Arc<Self>, Error> {
        if config.bounds.namespace_groups_max > GROUPS_MAX {
            return Err(Error::Backend(format!("a namespace can have at most {GROUPS_MAX} groups in Redis")));
        }
        let server = Server::open(&config.server).await?;
        let inner = Inner::open(server, scripts, config.bounds.clone()).await?;
        let stop = CancellationToken::new();
        let (own, stopped) = (Arc::clone(&inner), stop.clone());
        tokio::spawn(async move { own.live(stopped).await });
        let hearing = inner.bells.follow(&inner.server, names::channel(inner.server.prefix()));
        Ok(Arc::new(Self { inner, _hearing: hearing, _tasks: stop.drop_guard() }))
    }

    fn publishing(&self, topic: &TopicKey, message: &Message, recent_max: usize) -> Result<Call<'_>, Error> {
        let (inner, bounds) = (&self.inner, &self.inner.bounds);
        let call = inner.on(&inner.scripts.publish, topic.namespace()).arg(topic.topic()).arg(&message.id);
        let call = call.arg(message.bytes()).arg(head::encode(message)?).arg(&message.body[..]);
        let call = call.arg(bounds.group_messages_max).arg(bounds.group_bytes_max);
        let call = call.arg(bounds.namespace_bytes_max).arg(bounds.bytes_max);
        Ok(call.arg(ms(RECENT)).arg(recent_max))
    }

    /// Makes a call that settles a delivery.
    async fn settle(&self, call: Call<'_>) -> Result<bool, Error> {
        match self.inner.server.retried::<i64>(&call).await? {
            1 => Ok(true),
            0 => Ok(false),
            _ => Err(Error::Unknown),
        }
    }
}

#[async_trait]
impl Backend for Redis {
    async fn subscribe(&self, key: &GroupKey) -> Result<(), Error> {
        let most = self.inner.bounds.namespace_groups_max;
        let bell = names::bell(key.topic.namespace(), &names::member(key));
        let fan_out = matches!(key.group, Group::FanOut { .. });
        let call = self.inner.on_group(&self.inner.scripts.subscribe, key);
        let call = call.arg(i32::from(fan_out)).arg(bell).arg(most);
        match self.inner.server.retried::<i64>(&call).await? {
            0 => Ok(()),
            _ => Err(Error::Groups(most)),
        }
    }

    async fn unsubscribe(&self, key: &GroupKey) -> Result<(), Error> {
        let call = self.inner.on_group(&self.inner.scripts.unsubscribe, key);
        Ok(self.inner.server.retried::<i64>(&call).await.map(drop)?)
    }

    async fn publish(&self, topic: &TopicKey, message: Message) -> Result<usize, Error> {
        let inner = &self.inner;
        let call = self.publishing(topic, &message, RECENT_MAX)?;
        let (outcome, said): (i64, String) = inner.sure(&call).await?;
        let refused = match outcome {
            0 => {
                let groups: usize = said.parse().unwrap_or_default();
                inner.count(topic, Event::Published, groups as u64);
                inner.counts.lock().unheard += u64::from(groups == 0);
                return Ok(groups);
            }
            1 => {
                let full = names::group(topic.namespace(), &said);
                Error::Full(full.map(|key| key.group.to_string()).unwrap_or_default())
            }
            2 => Error::NamespaceFull,
            _ => Error::Busy,
        };
        inner.counts.lock().refused += 1;
        Err(refused)
    }

    async fn claim(&self, key: &GroupKey, claim: Claim) -> Result<Vec<Claimed>, Error> {
        let until = Instant::now() + claim.wait;
        let mut bell = self.inner.bells.of(names::bell(key.topic.namespace(), &names::member(key)));
        loop {
            bell.mark_unchanged();
            // A task of its own, so that messages that are on their way when this is dropped go back at once.
            let look = tokio::spawn(Taken::take(Arc::clone(&self.inner), key.clone(), claim));
            let looked = look.await.map_err(|_| Error::Backend("the look for messages ended".to_owned()))?;
            let (taken, due) = looked?;
            if !taken.is_empty() {
                return Ok(taken.keep());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Vec::new());
            }
            let pause = due.unwrap_or(left).min(left).min(POLL);
            let _ = tokio::time::timeout(pause, bell.changed()).await;
        }
    }

    async fn ack(&self, key: &GroupKey, tokens: &[Token]) -> Result<usize, Error> {
        let call = self.inner.on_group(&self.inner.scripts.ack, key);
        let call = tokens.iter().fold(call, |call, token| call.arg(token.0).arg(token.1));
        let done = self.inner.server.retried::<i64>(&call).await?;
        let done = u64::try_from(done).map_err(|_| Error::Unknown)?;
        self.inner.count(&key.topic, Event::Delivered, done);
        Ok(usize::try_from(done).unwrap_or(usize::MAX))
    }

    async fn nack(&self, key: &GroupKey, token: Token, delay: Duration) -> Result<bool, Error> {
        let call = self.inner.on_group(&self.inner.scripts.nack, key).arg(token.0).arg(token.1);
        let back = self.settle(call.arg(ms(delay))).await?;
        self.inner.count(&key.topic, Event::Failed, u64::from(back));
        Ok(back)
    }

    async fn release(&self, key: &GroupKey, token: Token) -> Result<bool, Error> {
        let call = self.inner.on_group(&self.inner.scripts.unheard, key).arg(token.0).arg(token.1);
        self.settle(call).await
    }

    async fn bury(&self, key: &GroupKey, token: Token, reason: &str, keep: bool) -> Result<bool, Error> {
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let bounds = &self.inner.bounds;
        let call = self.inner.on_group(&self.inner.scripts.bury, key).arg(token.0).arg(token.1);
        let call = call.arg(reason).arg(i32::from(keep));
        let call = call.arg(bounds.group_dead_max).arg(bounds.group_dead_bytes_max);
        let buried = self.settle(call).await?;
        self.inner.count(&key.topic, Event::Failed, u64::from(buried));
        self.inner.count(&key.topic, Event::Dead, u64::from(buried));
        Ok(buried)
    }

    async fn groups(&self, namespace: &Namespace) -> Result<Vec<GroupState>, Error> {
        self.inner.states(namespace).await
    }

    async fn dead(&self, namespace: &Namespace, filter: &Filter, limit: usize) -> Result<Vec<Dead>, Error> {
        self.inner.dead(namespace, filter, limit).await
    }

    async fn redrive(&self, namespace: &Namespace, filter: &Filter) -> Result<u64, Error> {
        let bounds = [self.inner.bounds.group_messages_max, self.inner.bounds.group_bytes_max];
        self.inner.on_dead(namespace, filter, &self.inner.scripts.redrive, &bounds).await
    }

    async fn discard(&self, namespace: &Namespace, filter: &Filter) -> Result<u64, Error> {
        self.inner.on_dead(namespace, filter, &self.inner.scripts.discard, &[]).await
    }

    async fn sweep(&self) -> Result<u64, Error> {
        let mut gone = 0;
        for namespace in self.inner.namespaces().await? {
            gone += self.inner.sweep(&namespace, ms(self.inner.bounds.unseen_max)).await?;
        }
        self.inner.counts.lock().groups_gone += gone;
        Ok(gone)
    }

    async fn check(&self) -> Result<(), Error> {
        Ok(self.inner.server.check().await?)
    }

    fn metrics(&self) -> String {
        self.inner.metrics()
    }
}
