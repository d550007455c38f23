//! Rate limits by key: an address, an account, a namespace.
//!
//! A bucket holds up to `burst` tokens and fills evenly; each request takes some. It is kept as one number, the time at
//! which it will be full (the generic cell rate algorithm), so that nothing has to run between two requests. The map is
//! bounded: when it is full, the bucket goes that is fullest among a few, because a full bucket and a forgotten one are
//! the same. `governor` does the same sum but tells no time of reset and bounds no map.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

const SHARDS: usize = 16;
/// Buckets that are looked at when one has to go.
const CANDIDATES: usize = 8;

/// How fast and how much: `tokens` come in each `per`, and up to `burst` can be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Nanoseconds for one token to come.
    interval: u64,
    /// Tokens of a full bucket.
    burst: u32,
}

impl Quota {
    /// `tokens` per `per`, `burst` at once. Zero counts as one, so that no quota stands still or divides by zero: to
    /// refuse everything is not a quota's work.
    pub fn new(tokens: u32, per: Duration, burst: u32) -> Self {
        let interval = per.as_nanos() / u128::from(tokens.max(1));
        Self { interval: u64::try_from(interval).unwrap_or(u64::MAX).max(1), burst: burst.max(1) }
    }

    /// `tokens` a second.
    pub fn per_second(tokens: u32, burst: u32) -> Self {
        Self::new(tokens, Duration::from_secs(1), burst)
    }

    /// `tokens` a minute.
    pub fn per_minute(tokens: u32, burst: u32) -> Self {
        Self::new(tokens, Duration::from_secs(60), burst)
    }

    /// Nanoseconds that `tokens` take to come.
    fn time(self, tokens: u32) -> u64 {
        self.interval.saturating_mul(u64::from(tokens))
    }
}

/// What is left after a request, as the headers `RateLimit-*` tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    /// Tokens of a full bucket.
    pub limit: u32,
    /// Whole tokens that are left.
    pub remaining: u32,
    /// Until the bucket is full again.
    pub reset: Duration,
}

/// The request came too early: after this time the same one is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests: the next one may come in {0:?}")]
pub struct RetryAfter(pub Duration);

/// A bucket for each key.
#[derive(Debug)]
pub struct TokenBuckets<K> {
    quota: Quota,
    hasher: RandomState,
    /// Times are kept as nanoseconds since then.
    start: Instant,
    shards: Vec<Mutex<Shard<K>>>,
}

impl<K: Hash + Eq + Clone> TokenBuckets<K> {
    /// `keys_max` bounds the memory: about 100 bytes and two keys for each. It is rounded up to 16.
    pub fn new(quota: Quota, keys_max: usize) -> Self {
        let room = keys_max.div_ceil(SHARDS).max(1);
        Self {
            quota,
            hasher: RandomState::new(),
            start: Instant::now(),
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(room))).collect(),
        }
    }

    /// Takes `cost` tokens of the bucket of `key` at `now`. A cost above the burst takes the whole bucket, because it
    /// could never be paid. When it fails, nothing was taken.
    pub fn take<Q>(&self, key: &Q, now: Instant, cost: u32) -> Result<Remaining, RetryAfter>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.take_of(key, self.quota, now, cost)
    }

    /// As [`Self::take`], with a quota of the key's own, such as that of its plan. The quota may change between two
    /// requests; what was taken stays taken.
    pub fn take_of<Q>(&self, key: &Q, quota: Quota, now: Instant, cost: u32) -> Result<Remaining, RetryAfter>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let now = nanoseconds(now.saturating_duration_since(self.start));
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        let mut shard = self.shards[shard].lock();
        let at = shard.index.get(key).copied();
        let full_at = at.and_then(|at| shard.buckets.get(at)).map_or(now, |bucket| bucket.full_at.max(now));
        let (full_at, remaining) = decide(quota, full_at, now, cost)?;
        match at.and_then(|at| shard.buckets.get_mut(at)) {
            Some(bucket) => bucket.full_at = full_at,
            // A request that costs nothing leaves nothing to remember.
            None if full_at > now => shard.insert(key.to_owned(), full_at),
            None => {}
        }
        Ok(remaining)
    }

    /// Keys that are remembered.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().buckets.len()).sum()
    }

    /// Nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A part of the map with its own lock.
#[derive(Debug)]
struct Shard<K> {
    index: HashMap<K, usize>,
    buckets: Vec<Bucket<K>>,
    room: usize,
    /// Where the next search for a bucket to drop begins.
    next: usize,
}

#[derive(Debug)]
struct Bucket<K> {
    key: K,
    /// Nanoseconds since the start at which it is full again.
    full_at: u64,
}

impl<K: Hash + Eq + Clone> Shard<K> {
    fn new(room: usize) -> Self {
        Self { index: HashMap::new(), buckets: Vec::new(), room, next: 0 }
    }

    /// Adds a key that is not there yet; when all room is taken, in the place of another.
    fn insert(&mut self, key: K, full_at: u64) {
        if self.buckets.len() < self.room {
            self.index.insert(key.clone(), self.buckets.len());
            self.buckets.push(Bucket { key, full_at });
            return;
        }
        let count = self.buckets.len();
        let candidates = (0..CANDIDATES.min(count)).map(|step| (self.next + step) % count);
        let fullest = candidates.min_by_key(|at| self.buckets[*at].full_at).unwrap_or(0);
        self.next = (self.next + CANDIDATES) % count;
        let old = std::mem::replace(&mut self.buckets[fullest], Bucket { key: key.clone(), full_at });
        self.index.remove(&old.key);
        self.index.insert(key, fullest);
    }
}

/// When the bucket is full again after the request, and what is left of it.
fn decide(quota: Quota, full_at: u64, now: u64, cost: u32) -> Result<(u64, Remaining), RetryAfter> {
    let capacity = quota.time(quota.burst);
    let after = full_at.saturating_add(quota.time(cost.min(quota.burst)));
    let missing = after - now;
    if let Some(early) = missing.checked_sub(capacity).filter(|early| *early > 0) {
        return Err(RetryAfter(Duration::from_nanos(early)));
    }
    let remaining = u32::try_from((capacity - missing) / quota.interval).unwrap_or(u32::MAX);
    Ok((after, Remaining { limit: quota.burst, remaining, reset: Duration::from_nanos(missing) }))
}

/// Saturates after 584 years.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
