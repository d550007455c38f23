//! Locks in memory: of one process, and gone with it.
//!
//! Waiters of a lock stand in a queue. Only the first looks: when it is woken by a release, or by the clock at the
//! moment when the lock expires. Whoever leaves the queue wakes the next, so that somebody looks at each moment.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_api::name::Namespace;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::backend::new_token;
use super::waiters::{Waiters, Waiting};
use super::{Backend, Claim, Error, HELD_MAX, Lock, LockKey};
use crate::context::unix_ms;

/// Locks of all namespaces.
#[derive(Debug, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    waiters: Arc<Waiters>,
}

#[derive(Debug, Default)]
struct State {
    /// Locks that are held or waited for.
    slots: HashMap<LockKey, Slot>,
    /// Exactly those that are held, by the moment when they expire.
    expiries: BTreeSet<(Instant, LockKey)>,
    /// Namespaces that hold a lock.
    spaces: HashMap<Namespace, Space>,
    /// No fence of a namespace that is not in `spaces` was greater.
    fence_floor: u64,
}

#[derive(Debug)]
struct Space {
    held: usize,
    fence: u64,
}

#[derive(Debug, Default)]
struct Slot {
    held: Option<Held>,
    /// First come, first served; each is woken by its own bell.
    queue: VecDeque<Arc<Notify>>,
}

#[derive(Debug)]
struct Held {
    token: String,
    holder: Option<String>,
    expires: Instant,
}

impl Slot {
    fn wake_first(&self) {
        if let Some(bell) = self.queue.front() {
            bell.notify_one();
        }
    }
}

impl State {
    /// Lets go of what has expired. Each lock is let go once, so this costs no more than taking it did.
    fn expire(&mut self, now: Instant) {
        while let Some((expires, _)) = self.expiries.first()
            && *expires <= now
        {
            let Some((_, key)) = self.expiries.pop_first() else { break };
            self.let_go(&key);
        }
    }

    /// Nobody holds it any more.
    fn let_go(&mut self, key: &LockKey) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let Some(held) = slot.held.take() else { return };
        slot.wake_first();
        if slot.queue.is_empty() {
            self.slots.remove(key);
        }
        // Its moment was taken out already by whoever found it expired.
        self.expiries.remove(&(held.expires, key.clone()));
        if let Some(space) = self.spaces.get_mut(key.namespace()) {
            space.held -= 1;
            if space.held == 0 {
                self.fence_floor = self.fence_floor.max(space.fence);
                self.spaces.remove(key.namespace());
            }
        }
    }

    /// Whose it is, when the token holds it now.
    fn held_by(&mut self, key: &LockKey, token: &str, now: Instant) -> Option<&mut Slot> {
        self.expire(now);
        let slot = self.slots.get_mut(key)?;
        slot.held.as_ref().is_some_and(|held| held.token == token).then_some(slot)
    }

    /// Takes the lock if nobody holds it; the caller knows that it is its turn.
    fn take(&mut self, key: &LockKey, claim: &Claim, now: Instant) -> Result<Lock, Error> {
        let floor = self.fence_floor;
        let space =
            self.spaces.entry(key.namespace().clone()).or_insert_with(|| Space { held: 0, fence: floor });
        if space.held >= HELD_MAX {
            return Err(Error::Full);
        }
        space.held += 1;
        space.fence = unix_ms().max(space.fence + 1);
        let (token, expires) = (new_token(), now + claim.ttl);
        let lock = Lock { token: token.clone(), fence: space.fence, left: claim.ttl };
        self.expiries.insert((expires, key.clone()));
        self.slots.entry(key.clone()).or_default().held =
            Some(Held { token, holder: claim.holder.clone(), expires });
        Ok(lock)
    }
}

/// A place in a queue; leaves it when dropped.
struct Place {
    state: Arc<Mutex<State>>,
    key: LockKey,
    bell: Arc<Notify>,
    _counted: Waiting,
}

/// What one that waits sees.
enum Turn {
    /// It is over.
    Over(Result<Lock, Error>),
    /// Look again when the bell rings, and then.
    Wait(Option<Instant>),
}

impl Place {
    fn look(&self, claim: &Claim) -> Turn {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.expire(now);
        let Some(slot) = state.slots.get(&self.key) else {
            return Turn::Over(Err(Error::Backend("a place in the queue was lost".to_owned())));
        };
        if !slot.queue.front().is_some_and(|first| Arc::ptr_eq(first, &self.bell)) {
            return Turn::Wait(None);
        }
        match &slot.held {
            Some(held) => Turn::Wait(Some(held.expires)),
            None => Turn::Over(state.take(&self.key, claim, now)),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        let Some(slot) = state.slots.get_mut(&self.key) else { return };
        slot.queue.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
        slot.wake_first();
        if slot.held.is_none() && slot.queue.is_empty() {
            state.slots.remove(&self.key);
        }
    }
}

impl Memory {
    /// Takes the lock at once, or a place in its queue; none when the claim does not wait.
    fn take_or_queue(&self, key: &LockKey, claim: &Claim) -> Result<Result<Lock, Place>, Error> {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.expire(now);
        if !state.slots.contains_key(key) {
            return state.take(key, claim, now).map(Ok);
        }
        if claim.until <= now {
            return Err(Error::Timeout);
        }
        let counted = self.waiters.enter(key.namespace())?;
        let bell = Arc::new(Notify::new());
        state.slots.entry(key.clone()).or_default().queue.push_back(Arc::clone(&bell));
        Ok(Err(Place { state: Arc::clone(&self.state), key: key.clone(), bell, _counted: counted }))
    }

    /// Locks that are held or waited for, namespaces that hold one, and those with somebody who waits.
    #[cfg(test)]
    pub(super) fn kept(&self) -> [usize; 4] {
        let mut state = self.state.lock();
        state.expire(Instant::now());
        [state.slots.len(), state.expiries.len(), state.spaces.len(), self.waiters.namespaces()]
    }
}

#[async_trait]
impl Backend for Memory {
    async fn acquire(&self, key: &LockKey, claim: Claim) -> Result<Lock, Error> {
        let place = match self.take_or_queue(key, &claim)? {
            Ok(lock) => return Ok(lock),
            Err(place) => place,
        };
        loop {
            let expires = match place.look(&claim) {
                Turn::Over(end) => return end,
                Turn::Wait(expires) => expires,
            };
            if claim.until <= Instant::now() {
                return Err(Error::Timeout);
            }
            let look_at = expires.map_or(claim.until, |expires| expires.min(claim.until));
            // Whichever comes first, it looks again.
            let _ = tokio::time::timeout_at(look_at, place.bell.notified()).await;
        }
    }

    async fn renew(&self, key: &LockKey, token: &str, ttl: Duration) -> Result<bool, Error> {
        let mut state = self.state.lock();
        let now = Instant::now();
        let Some(slot) = state.held_by(key, token, now) else { return Ok(false) };
        let Some(held) = slot.held.as_mut() else { return Ok(false) };
        let before = std::mem::replace(&mut held.expires, now + ttl);
        // It may expire earlier than whoever waits believes.
        slot.wake_first();
        state.expiries.remove(&(before, key.clone()));
        state.expiries.insert((now + ttl, key.clone()));
        Ok(true)
    }

    async fn release(&self, key: &LockKey, token: &str) -> Result<bool, Error> {
        let mut state = self.state.lock();
        let holds = state.held_by(key, token, Instant::now()).is_some();
        if holds {
            state.let_go(key);
        }
        Ok(holds)
    }

    async fn holder(&self, key: &LockKey) -> Result<Option<String>, Error> {
        let mut state = self.state.lock();
        state.expire(Instant::now());
        Ok(state.slots.get(key).and_then(|slot| slot.held.as_ref()?.holder.clone()))
    }

    async fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}
