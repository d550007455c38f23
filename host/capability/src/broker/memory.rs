//! The broker in this process: at least once while it lives.

mod queue;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use micro_api::name::Namespace;
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::queue::Queue;
use super::metrics::{Counts, Event};
use super::{
    Backend, Claim, Claimed, Dead, Error, Filter, Group, GroupKey, GroupState, Message, Token, TopicKey,
};
use crate::context::unix_ms;

/// Milliseconds since some moment; only grows.
pub(super) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Bounds of the broker.
#[derive(Debug, Clone)]
pub struct MemoryConfig {
    /// Messages that one group may have.
    pub group_messages_max: usize,
    /// Bytes of them.
    pub group_bytes_max: usize,
    /// Dead letters that one group keeps; the oldest makes room.
    pub group_dead_max: usize,
    /// Bytes of them.
    pub group_dead_bytes_max: usize,
    /// Groups of one namespace.
    pub namespace_groups_max: usize,
    /// Bytes of messages and dead letters of one namespace.
    pub namespace_bytes_max: usize,
    /// The same of all. Above it a namespace still has its share, this many bytes by the number of namespaces with
    /// groups: so all together are twice as much at most, and nobody is kept out by others.
    pub bytes_max: usize,
    /// A group that nobody asked for so long goes.
    pub unseen_max: Duration,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            group_messages_max: 10_000,
            group_bytes_max: 16 << 20,
            group_dead_max: 1_000,
            group_dead_bytes_max: 4 << 20,
            namespace_groups_max: 1_000,
            namespace_bytes_max: 64 << 20,
            bytes_max: 128 << 20,
            unseen_max: Duration::from_secs(24 * 3_600),
        }
    }
}

/// The broker of one process.
pub struct Memory {
    config: MemoryConfig,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    spaces: HashMap<Namespace, Space>,
    /// Of all of them.
    bytes: usize,
    counts: Counts,
    /// Names claims; never used twice.
    tokens: u64,
}

/// What one namespace has.
#[derive(Default)]
struct Space {
    topics: BTreeMap<TopicKey, BTreeMap<Group, Queue>>,
    /// Bytes of messages and dead letters.
    bytes: usize,
}

impl Space {
    fn groups(&self) -> usize {
        self.topics.values().map(BTreeMap::len).sum()
    }

    fn queues(&mut self) -> impl Iterator<Item = (GroupKey, &mut Queue)> {
        self.topics.iter_mut().flat_map(|(topic, groups)| {
            let key = |group: &Group| GroupKey { topic: topic.clone(), group: group.clone() };
            groups.iter_mut().map(move |(group, queue)| (key(group), queue))
        })
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty broker.
    pub fn new(config: MemoryConfig) -> Self {
        let began = Instant::now();
        let clock = move || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Self::with_clock(config, Arc::new(clock))
    }

    pub(super) fn with_clock(config: MemoryConfig, clock: Clock) -> Self {
        Self { config, clock, state: Mutex::default() }
    }

    /// Acts on a group that exists.
    fn on<T>(
        &self,
        key: &GroupKey,
        act: impl FnOnce(&mut Queue, &mut Counts, &mut u64, u64) -> T,
    ) -> Result<T, Error> {
        let now = (self.clock)();
        let mut state = self.state.lock();
        let State { spaces, bytes, counts, tokens } = &mut *state;
        let space = spaces.get_mut(key.topic.namespace()).ok_or(Error::Unknown)?;
        let groups = space.topics.get_mut(&key.topic);
        let queue = groups.and_then(|groups| groups.get_mut(&key.group)).ok_or(Error::Unknown)?;
        let before = queue.all_bytes();
        let expired = queue.expire(now);
        for _ in 0..expired {
            counts.add(&key.topic, Event::Failed);
        }
        let done = act(queue, counts, tokens, now);
        let after = queue.all_bytes();
        space.bytes = space.bytes - before + after;
        *bytes = *bytes - before + after;
        Ok(done)
    }

    /// The messages that can be claimed now; else the bell that rings for the next one, and when to look again.
    fn take(&self, key: &GroupKey, claim: Claim) -> Result<Result<Vec<Claimed>, Wait>, Error> {
        self.on(key, |queue, _, tokens, now| {
            queue.seen = now;
            let taken = queue.claim(claim.max, now, ms(claim.lease), tokens);
            if taken.is_empty() {
                return Err(Wait { bell: Arc::clone(&queue.bell), due: queue.next_due(now) });
            }
            Ok(taken)
        })
    }
}

struct Wait {
    bell: Arc<Notify>,
    /// Until a delayed or a leased message can be claimed.
    due: Option<Duration>,
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Backend for Memory {
    async fn subscribe(&self, key: &GroupKey) -> Result<(), Error> {
        let now = (self.clock)();
        let mut state = self.state.lock();
        let space = state.spaces.entry(key.topic.namespace().clone()).or_default();
        if let Some(queue) = space.topics.get_mut(&key.topic).and_then(|groups| groups.get_mut(&key.group)) {
            queue.seen = now;
            return Ok(());
        }
        if space.groups() >= self.config.namespace_groups_max {
            return Err(Error::Groups(self.config.namespace_groups_max));
        }
        let groups = space.topics.entry(key.topic.clone()).or_default();
        groups.insert(key.group.clone(), Queue::new(now));
        Ok(())
    }

    async fn unsubscribe(&self, key: &GroupKey) -> Result<(), Error> {
        let mut state = self.state.lock();
        let namespace = key.topic.namespace();
        let Some(space) = state.spaces.get_mut(namespace) else { return Ok(()) };
        let Some(groups) = space.topics.get_mut(&key.topic) else { return Ok(()) };
        let gone = groups.remove(&key.group).map(|queue| queue.all_bytes()).unwrap_or_default();
        space.bytes -= gone;
        if groups.is_empty() {
            space.topics.remove(&key.topic);
        }
        if space.topics.is_empty() {
            state.spaces.remove(namespace);
        }
        state.bytes -= gone;
        Ok(())
    }

    async fn publish(&self, topic: &TopicKey, message: Message) -> Result<usize, Error> {
        let mut state = self.state.lock();
        let State { spaces, bytes: all, counts, .. } = &mut *state;
        let share = self.config.bytes_max / spaces.len().max(1);
        let space = spaces.get_mut(topic.namespace());
        let Some((groups, used)) =
            space.and_then(|space| Some((space.topics.get_mut(topic)?, &mut space.bytes)))
        else {
            counts.unheard += 1;
            return Ok(0);
        };
        let bytes = message.bytes();
        let added = bytes * groups.len();
        let full = groups.iter().find(|(_, queue)| !queue.has_room(bytes, &self.config));
        let refused = match full {
            Some((group, _)) => Some(Error::Full(group.to_string())),
            None if *used + added > self.config.namespace_bytes_max => Some(Error::NamespaceFull),
            None if *all + added > self.config.bytes_max && *used + added > share => Some(Error::Busy),
            None => None,
        };
        if let Some(error) = refused {
            counts.refused += 1;
            return Err(error);
        }
        *used += added;
        *all += added;
        let message = Arc::new(message);
        for queue in groups.values_mut() {
            queue.push(Arc::clone(&message));
            counts.add(topic, Event::Published);
        }
        Ok(groups.len())
    }

    async fn claim(&self, key: &GroupKey, claim: Claim) -> Result<Vec<Claimed>, Error> {
        let until = tokio::time::Instant::now() + claim.wait;
        loop {
            let wait = match self.take(key, claim)? {
                Ok(taken) => return Ok(taken),
                Err(wait) => wait,
            };
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                return Ok(Vec::new());
            }
            let due = wait.due.unwrap_or(left).min(left);
            // What was published since the look is kept by the bell.
            let _ = tokio::time::timeout(due, wait.bell.notified()).await;
        }
    }

    async fn ack(&self, key: &GroupKey, tokens: &[Token]) -> Result<usize, Error> {
        self.on(key, |queue, counts, _, _| {
            let done = tokens.iter().filter(|token| queue.ack(**token)).count();
            for _ in 0..done {
                counts.add(&key.topic, Event::Delivered);
            }
            done
        })
    }

    async fn nack(&self, key: &GroupKey, token: Token, delay: Duration) -> Result<bool, Error> {
        self.on(key, |queue, counts, _, now| {
            let back = queue.nack(token, now.saturating_add(ms(delay)));
            if back {
                counts.add(&key.topic, Event::Failed);
            }
            back
        })
    }

    async fn release(&self, key: &GroupKey, token: Token) -> Result<bool, Error> {
        self.on(key, |queue, _, _, _| queue.release(token))
    }

    async fn bury(&self, key: &GroupKey, token: Token, reason: &str, keep: bool) -> Result<bool, Error> {
        self.on(key, |queue, counts, _, _| {
            let buried = queue.bury(token, reason, keep, &self.config);
            if buried {
                counts.add(&key.topic, Event::Failed);
                counts.add(&key.topic, Event::Dead);
            }
            buried
        })
    }

    async fn groups(&self, namespace: &Namespace) -> Result<Vec<GroupState>, Error> {
        let (now, wall) = ((self.clock)(), unix_ms());
        let mut state = self.state.lock();
        let State { spaces, counts, .. } = &mut *state;
        let Some(space) = spaces.get_mut(namespace) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (key, queue) in space.queues() {
            for _ in 0..queue.expire(now) {
                counts.add(&key.topic, Event::Failed);
            }
            found.push(queue.state(key, wall.saturating_sub(now.saturating_sub(queue.seen))));
        }
        Ok(found)
    }

    async fn dead(&self, namespace: &Namespace, filter: &Filter, limit: usize) -> Result<Vec<Dead>, Error> {
        let mut state = self.state.lock();
        let Some(space) = state.spaces.get_mut(namespace) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (key, queue) in space.queues() {
            if filter.takes_group(&key) {
                let dead = queue.dead().filter(|buried| filter.takes(&buried.message));
                found.extend(dead.take(limit - found.len()).map(|buried| buried.shown(&key)));
            }
        }
        Ok(found)
    }

    async fn redrive(&self, namespace: &Namespace, filter: &Filter) -> Result<u64, Error> {
        Ok(self.on_dead(namespace, filter, |queue, config| queue.redrive(filter, config)))
    }

    async fn discard(&self, namespace: &Namespace, filter: &Filter) -> Result<u64, Error> {
        Ok(self.on_dead(namespace, filter, |queue, _| queue.discard(filter)))
    }

    async fn sweep(&self) -> Result<u64, Error> {
        let oldest = (self.clock)().saturating_sub(ms(self.config.unseen_max));
        let mut state = self.state.lock();
        let State { spaces, bytes, counts, .. } = &mut *state;
        let mut gone = 0;
        for space in spaces.values_mut() {
            for groups in space.topics.values_mut() {
                groups.retain(|_, queue| {
                    if queue.seen >= oldest {
                        return true;
                    }
                    space.bytes -= queue.all_bytes();
                    *bytes -= queue.all_bytes();
                    gone += 1;
                    false
                });
            }
            space.topics.retain(|_, groups| !groups.is_empty());
        }
        spaces.retain(|_, space| !space.topics.is_empty());
        counts.groups_gone += gone;
        Ok(gone)
    }

    async fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    fn metrics(&self) -> String {
        let state = self.state.lock();
        let groups = state.spaces.values().map(Space::groups).sum();
        state.counts.render(groups, state.bytes as u64)
    }
}

impl Memory {
    fn on_dead(
        &self,
        namespace: &Namespace,
        filter: &Filter,
        mut act: impl FnMut(&mut Queue, &MemoryConfig) -> u64,
    ) -> u64 {
        let mut state = self.state.lock();
        let Some(space) = state.spaces.get_mut(namespace) else { return 0 };
        let (mut moved, mut before, mut after) = (0, 0, 0);
        for (_, queue) in space.queues().filter(|(key, _)| filter.takes_group(key)) {
            before += queue.all_bytes();
            moved += act(queue, &self.config);
            after += queue.all_bytes();
        }
        space.bytes = space.bytes - before + after;
        state.bytes = state.bytes - before + after;
        moved
    }
}
