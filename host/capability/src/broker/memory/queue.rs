//! The messages of one group.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::MemoryConfig;
use crate::broker::backend::REASON_CHARS_MAX;
use crate::broker::{Claimed, Dead, Filter, GroupKey, GroupState, Message, Token};
use crate::context::unix_ms;

/// A message, and how often it was claimed.
#[derive(Debug)]
struct Held {
    message: Arc<Message>,
    attempts: u32,
}

/// A message that is being delivered, until its lease runs out.
#[derive(Debug)]
struct Leased {
    held: Held,
    until: u64,
}

/// A message that was given up.
#[derive(Debug)]
pub(super) struct Buried {
    pub(super) message: Arc<Message>,
    attempts: u32,
    reason: String,
    died_ms: u64,
}

impl Buried {
    pub(super) fn shown(&self, key: &GroupKey) -> Dead {
        Dead {
            group: key.clone(),
            message: Arc::clone(&self.message),
            attempts: self.attempts,
            reason: self.reason.clone(),
            died_ms: self.died_ms,
        }
    }

    fn bytes(&self) -> usize {
        self.message.bytes() + self.reason.len()
    }
}

#[derive(Debug)]
pub(super) struct Queue {
    ready: VecDeque<Held>,
    /// Messages for a later try, by the time from which on they can be claimed.
    delayed: BTreeMap<(u64, u64), Held>,
    leased: HashMap<Token, Leased>,
    /// Exactly the leased ones, by the time at which they come back.
    leases: BTreeSet<(u64, Token)>,
    dead: VecDeque<Buried>,
    bytes: usize,
    dead_bytes: usize,
    delivered: u64,
    failed: u64,
    dropped: u64,
    /// By the broker's clock.
    pub(super) seen: u64,
    /// Rings once a message that can be claimed.
    pub(super) bell: Arc<Notify>,
}

impl Queue {
    pub(super) fn new(now: u64) -> Self {
        Self {
            ready: VecDeque::new(),
            delayed: BTreeMap::new(),
            leased: HashMap::new(),
            leases: BTreeSet::new(),
            dead: VecDeque::new(),
            bytes: 0,
            dead_bytes: 0,
            delivered: 0,
            failed: 0,
            dropped: 0,
            seen: now,
            bell: Arc::default(),
        }
    }

    fn len(&self) -> usize {
        self.ready.len() + self.delayed.len() + self.leased.len()
    }

    /// Bytes of messages and dead letters.
    pub(super) fn all_bytes(&self) -> usize {
        self.bytes + self.dead_bytes
    }

    pub(super) fn has_room(&self, bytes: usize, config: &MemoryConfig) -> bool {
        self.len() < config.group_messages_max && self.bytes + bytes <= config.group_bytes_max
    }

    pub(super) fn push(&mut self, message: Arc<Message>) {
        self.bytes += message.bytes();
        self.ready.push_back(Held { message, attempts: 0 });
        self.bell.notify_one();
    }

    /// Takes back what was claimed and not answered in time; how many messages.
    pub(super) fn expire(&mut self, now: u64) -> usize {
        let mut expired = 0;
        while let Some((until, token)) = self.leases.first().copied()
            && until <= now
        {
            self.leases.remove(&(until, token));
            if let Some(leased) = self.leased.remove(&token) {
                self.failed += 1;
                expired += 1;
                self.ready.push_back(leased.held);
                self.bell.notify_one();
            }
        }
        expired
    }

    pub(super) fn claim(&mut self, max: usize, now: u64, lease: u64, tokens: &mut u64) -> Vec<Claimed> {
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= now
        {
            self.ready.push_back(entry.remove());
        }
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(mut held) = self.ready.pop_front()
        {
            *tokens += 1;
            let token = Token(0, *tokens);
            held.attempts = held.attempts.saturating_add(1);
            let (message, attempt) = (Arc::clone(&held.message), held.attempts);
            let until = now.saturating_add(lease);
            self.leases.insert((until, token));
            self.leased.insert(token, Leased { held, until });
            taken.push(Claimed { token, message, attempt });
        }
        taken
    }

    /// How long until something that waits can be claimed.
    pub(super) fn next_due(&self, now: u64) -> Option<Duration> {
        let delayed = self.delayed.first_key_value().map(|((due, _), _)| *due);
        let leased = self.leases.first().map(|(until, _)| *until);
        let due = delayed.into_iter().chain(leased).min()?;
        // The clock counts whole milliseconds: one more, so that the time has come and not almost.
        Some(Duration::from_millis(due.saturating_sub(now).saturating_add(1)))
    }

    fn take(&mut self, token: Token) -> Option<Held> {
        let leased = self.leased.remove(&token)?;
        self.leases.remove(&(leased.until, token));
        Some(leased.held)
    }

    pub(super) fn ack(&mut self, token: Token) -> bool {
        let Some(held) = self.take(token) else { return false };
        self.bytes -= held.message.bytes();
        self.delivered += 1;
        true
    }

    pub(super) fn nack(&mut self, token: Token, due: u64) -> bool {
        let Some(held) = self.take(token) else { return false };
        self.failed += 1;
        self.delayed.insert((due, token.1), held);
        // Whoever waits learns how long, and who is about to, too.
        self.bell.notify_waiters();
        self.bell.notify_one();
        true
    }

    pub(super) fn release(&mut self, token: Token) -> bool {
        let Some(mut held) = self.take(token) else { return false };
        held.attempts = held.attempts.saturating_sub(1);
        self.ready.push_front(held);
        self.bell.notify_one();
        true
    }

    pub(super) fn bury(&mut self, token: Token, reason: &str, keep: bool, config: &MemoryConfig) -> bool {
        let Some(held) = self.take(token) else { return false };
        self.bytes -= held.message.bytes();
        self.failed += 1;
        if !keep {
            self.dropped += 1;
            return true;
        }
        let buried = Buried {
            message: held.message,
            attempts: held.attempts,
            reason: reason.chars().take(REASON_CHARS_MAX).collect(),
            died_ms: unix_ms(),
        };
        self.dead_bytes += buried.bytes();
        self.dead.push_back(buried);
        while self.dead.len() > config.group_dead_max || self.dead_bytes > config.group_dead_bytes_max {
            let Some(oldest) = self.dead.pop_front() else { break };
            self.dead_bytes -= oldest.bytes();
            self.dropped += 1;
        }
        true
    }

    pub(super) fn dead(&self) -> impl Iterator<Item = &Buried> {
        self.dead.iter()
    }

    pub(super) fn redrive(&mut self, filter: &Filter, config: &MemoryConfig) -> u64 {
        let mut moved = 0;
        for buried in std::mem::take(&mut self.dead) {
            let bytes = buried.message.bytes();
            if !filter.takes(&buried.message) || !self.has_room(bytes, config) {
                self.dead.push_back(buried);
                continue;
            }
            self.dead_bytes -= buried.bytes();
            self.push(buried.message);
            moved += 1;
        }
        moved
    }

    pub(super) fn discard(&mut self, filter: &Filter) -> u64 {
        let before = self.dead.len();
        self.dead.retain(|buried| !filter.takes(&buried.message));
        self.dead_bytes = self.dead.iter().map(Buried::bytes).sum();
        (before - self.dead.len()) as u64
    }

    pub(super) fn state(&self, key: GroupKey, seen_ms: u64) -> GroupState {
        GroupState {
            key,
            waiting: (self.ready.len() + self.delayed.len()) as u64,
            in_flight: self.leased.len() as u64,
            bytes: self.bytes as u64,
            delivered: self.delivered,
            failed: self.failed,
            dead: self.dead.len() as u64,
            dropped: self.dropped,
            seen_ms,
        }
    }
}
