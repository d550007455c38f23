//! What a revision did, counted without locks.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Steps of the latency histogram in each power of two: readings are within an eighth of the truth.
const STEPS: usize = 8;
/// Powers of two that are told apart, from a microsecond to about an hour.
const POWERS: usize = 32;

/// A reading of [`Stats`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RevisionStats {
    /// Calls that ended.
    pub requests: u64,
    /// Of them, calls that failed.
    pub errors: u64,
    /// CPU time in guest code and the host functions it called.
    pub cpu: Duration,
    /// Half of the calls took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// Instances that live.
    pub instances: u64,
    /// Their linear memory, bytes.
    pub memory_bytes: u64,
    /// The component's code is loaded.
    pub loaded: bool,
}

#[derive(Default)]
pub(crate) struct Stats {
    requests: AtomicU64,
    errors: AtomicU64,
    cpu_ns: AtomicU64,
    pub(crate) instances: AtomicU64,
    pub(crate) memory_bytes: AtomicU64,
    /// Made at the first call, so that a service nobody calls costs nothing.
    latency: std::sync::OnceLock<Box<[AtomicU32]>>,
}

impl Stats {
    pub(crate) fn record(&self, took: Duration, failed: bool) {
        self.requests.fetch_add(1, Relaxed);
        if failed {
            self.errors.fetch_add(1, Relaxed);
        }
        let buckets = self.latency.get_or_init(|| (0..STEPS * POWERS).map(|_| AtomicU32::new(0)).collect());
        if let Some(bucket) = buckets.get(bucket_of(took)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn add_cpu(&self, cpu: Duration) {
        self.cpu_ns.fetch_add(u64::try_from(cpu.as_nanos()).unwrap_or(0), Relaxed);
    }

    pub(crate) fn read(&self, loaded: bool) -> RevisionStats {
        RevisionStats {
            requests: self.requests.load(Relaxed),
            errors: self.errors.load(Relaxed),
            cpu: Duration::from_nanos(self.cpu_ns.load(Relaxed)),
            p50: self.percentile(50),
            p99: self.percentile(99),
            instances: self.instances.load(Relaxed),
            memory_bytes: self.memory_bytes.load(Relaxed),
            loaded,
        }
    }

    fn percentile(&self, percent: u64) -> Duration {
        let Some(buckets) = self.latency.get() else { return Duration::ZERO };
        let counts: Vec<u64> = buckets.iter().map(|bucket| u64::from(bucket.load(Relaxed))).collect();
        let rank = (counts.iter().sum::<u64>() * percent).div_ceil(100);
        let mut seen = 0;
        let found = counts.iter().position(|count| {
            seen += count;
            seen >= rank && rank > 0
        });
        found.map_or(Duration::ZERO, upper_bound)
    }
}

fn bucket_of(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let power = us.ilog2() as usize;
    let step = if power >= 3 {
        (us >> (power - 3)) as usize - STEPS
    } else {
        ((us << (3 - power)) as usize) - STEPS
    };
    (power * STEPS + step).min(STEPS * POWERS - 1)
}

fn upper_bound(bucket: usize) -> Duration {
    let (power, step) = (bucket / STEPS, bucket % STEPS);
    Duration::from_micros(((STEPS + step + 1) as u64) << power >> 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_an_eighth() {
        let stats = Stats::default();
        for us in 1..=1_000 {
            stats.record(Duration::from_micros(us), us % 10 == 0);
            stats.add_cpu(Duration::from_micros(1));
        }
        let read = stats.read(true);
        assert_eq!((read.requests, read.errors, read.cpu), (1_000, 100, Duration::from_millis(1)));
        for (found, true_us) in [(read.p50, 500.0), (read.p99, 990.0)] {
            let ratio = found.as_micros() as f64 / true_us;
            assert!((1.0..=1.15).contains(&ratio), "{found:?} for {true_us}");
        }
        assert_eq!(Stats::default().read(false), RevisionStats::default());
    }

    #[test]
    fn any_duration_has_a_bucket() {
        for took in [Duration::ZERO, Duration::from_secs(86_400), Duration::MAX] {
            assert!(bucket_of(took) < STEPS * POWERS, "{took:?}");
        }
    }
}
