use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn left(remaining: u32, reset: Duration) -> Result<Remaining, RetryAfter> {
    Ok(Remaining { limit: 3, remaining, reset })
}

#[test]
fn a_burst_and_then_the_rate() {
    let buckets = TokenBuckets::<String>::new(Quota::per_second(1, 3), 100);
    let now = Instant::now();
    assert_eq!(buckets.take("jane", now, 1), left(2, SECOND));
    assert_eq!(buckets.take("jane", now, 1), left(1, 2 * SECOND));
    assert_eq!(buckets.take("jane", now, 1), left(0, 3 * SECOND));
    assert_eq!(buckets.take("jane", now, 1), Err(RetryAfter(SECOND)));
    assert_eq!(buckets.take("joe", now, 1), left(2, SECOND), "each key has its own");
    let soon = now + SECOND / 4;
    assert_eq!(buckets.take("jane", soon, 1), Err(RetryAfter(SECOND * 3 / 4)));
    // A refused request takes nothing: what it was told is what happens.
    assert_eq!(buckets.take("jane", now + SECOND, 1), left(0, 3 * SECOND));
    assert_eq!(
        buckets.take("jane", now + 100 * SECOND, 1),
        left(2, SECOND),
        "no more is saved than the burst"
    );
}

#[test]
fn costs_differ() {
    let buckets = TokenBuckets::<&str>::new(Quota::per_minute(60, 3), 100);
    let now = Instant::now();
    assert_eq!(buckets.take(&"jane", now, 0), left(3, Duration::ZERO));
    assert!(buckets.is_empty(), "what costs nothing is not remembered");
    assert_eq!(buckets.take(&"jane", now, 2), left(1, 2 * SECOND));
    assert_eq!(buckets.take(&"jane", now, 2), Err(RetryAfter(SECOND)));
    assert_eq!(buckets.take(&"jane", now, 1), left(0, 3 * SECOND));
    assert_eq!(buckets.take(&"jane", now, 0), left(0, 3 * SECOND), "a look costs nothing");
    assert_eq!(buckets.take(&"joe", now, 1000), left(0, 3 * SECOND), "what could never be paid takes all");
}

#[test]
fn a_clock_that_goes_back_gives_nothing() {
    let buckets = TokenBuckets::<u32>::new(Quota::per_second(1, 1), 100);
    let start = buckets.start;
    assert!(buckets.take(&1, start + 10 * SECOND, 1).is_ok());
    assert_eq!(buckets.take(&1, start + 9 * SECOND, 1), Err(RetryAfter(2 * SECOND)));
    let before = start.checked_sub(SECOND).unwrap_or(start);
    assert_eq!(buckets.take(&1, before, 1), Err(RetryAfter(11 * SECOND)));
}

#[test]
fn a_plan_can_change_between_requests() {
    let buckets = TokenBuckets::<u32>::new(Quota::per_second(1, 3), 100);
    let now = Instant::now();
    assert_eq!(buckets.take(&1, now, 3), left(0, 3 * SECOND));
    let larger = Quota::per_second(10, 100);
    let answer = buckets.take_of(&1, larger, now, 1).unwrap();
    assert_eq!((answer.limit, answer.remaining), (100, 69));
    assert_eq!(buckets.take(&1, now, 1), Err(RetryAfter(SECOND + SECOND / 10)));
}

#[test]
fn extremes_do_not_overflow() {
    let now = Instant::now();
    for quota in [
        Quota::new(0, Duration::ZERO, 0),
        Quota::new(u32::MAX, Duration::ZERO, u32::MAX),
        Quota::new(1, Duration::MAX, u32::MAX),
        Quota::new(u32::MAX, Duration::from_nanos(1), u32::MAX),
    ] {
        let buckets = TokenBuckets::<u32>::new(quota, 0);
        for cost in [0, 1, u32::MAX] {
            let _ = buckets.take(&1, now, cost);
            let _ = buckets.take(&1, now + Duration::from_secs(1 << 40), cost);
        }
    }
}

#[test]
fn the_map_is_bounded_and_forgets_the_fullest() {
    let buckets = TokenBuckets::<u32>::new(Quota::per_second(1, 100), 1600);
    let now = Instant::now();
    // One key is at its end; a flood of others comes once each.
    assert!(buckets.take(&0, now, 100).is_ok());
    for key in 1..100_000 {
        assert!(buckets.take(&key, now, 1).is_ok());
        assert!(buckets.take(&0, now, 1).is_err(), "key {key} made it forget");
    }
    assert_eq!(buckets.len(), 1600);
    for shard in &buckets.shards {
        let shard = shard.lock();
        assert_eq!(shard.index.len(), shard.buckets.len());
        for (key, at) in &shard.index {
            assert_eq!(shard.buckets[*at].key, *key);
        }
    }
}

#[test]
fn threads_share_a_bucket() {
    let buckets = Arc::new(TokenBuckets::<u32>::new(Quota::per_second(1, 1000), 100));
    let (now, taken) = (Instant::now(), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    taken.fetch_add(u32::from(buckets.take(&7, now, 1).is_ok()), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(taken.into_inner(), 1000);
}

proptest! {
    /// Against a bucket that is counted token by token.
    #[test]
    fn never_more_than_burst_and_rate(
        burst in 1u32..20, steps in prop::collection::vec((0u64..3000, 0u32..5), 1..100),
    ) {
        let buckets = TokenBuckets::<u32>::new(Quota::per_second(1, burst), 16);
        let mut now = Instant::now();
        // Thousandths of a token.
        let full = u64::from(burst) * 1000;
        let mut tokens = full;
        for (wait_ms, cost) in steps {
            now += Duration::from_millis(wait_ms);
            tokens = (tokens + wait_ms).min(full);
            let price = u64::from(cost.min(burst)) * 1000;
            match buckets.take(&1, now, cost) {
                Ok(remaining) => {
                    prop_assert!(tokens >= price);
                    tokens -= price;
                    prop_assert_eq!(u64::from(remaining.remaining), tokens / 1000);
                    prop_assert_eq!(remaining.reset, Duration::from_millis(full - tokens));
                }
                Err(RetryAfter(wait)) => {
                    prop_assert!(tokens < price);
                    prop_assert_eq!(wait, Duration::from_millis(price - tokens));
                }
            }
        }
    }
}

#[test]
#[ignore = "a measurement, for `cargo test --release -- --ignored --nocapture`"]
fn what_a_request_costs() {
    let buckets = TokenBuckets::<u32>::new(Quota::per_second(100, 100), 100_000);
    let (now, start) = (Instant::now(), Instant::now());
    for key in 0..1_000_000 {
        let _ = std::hint::black_box(buckets.take(&(key % 1000), now, 1));
    }
    println!("a known key: {:?}", start.elapsed() / 1_000_000);
    let start = Instant::now();
    for key in 0..1_000_000 {
        let _ = std::hint::black_box(buckets.take(&key, now, 1));
    }
    println!("a new key, with the map full: {:?}", start.elapsed() / 1_000_000);
}
