//! The rate of each service's log, and what it lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use micro_api::name::ServiceKey;
use moka::sync::Cache;
use parking_lot::Mutex;

use super::Stream;
use super::bucket::Bucket;

/// Services whose rates are remembered; an idle one starts with a full bucket again.
const METERS_MAX: u64 = 16_384;
const IDLE: Duration = Duration::from_secs(300);

/// The platform's own lines about a service are few, and not lost in a flood of the service's.
const PLATFORM_BURST: u32 = 200;
const PLATFORM_PER_SECOND: u32 = 20;

/// One service's rate.
#[derive(Debug)]
pub(crate) struct Meter {
    guest: Mutex<Bucket>,
    platform: Mutex<Bucket>,
    dropped: AtomicU64,
}

impl Meter {
    /// Whether one more line is within the rate; one that is not is counted as dropped.
    pub(crate) fn admit(&self, stream: Stream) -> bool {
        let bucket = if stream == Stream::Platform { &self.platform } else { &self.guest };
        let admitted = bucket.lock().take(1, Instant::now());
        if !admitted {
            self.drop_one();
        }
        admitted
    }

    pub(crate) fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Lines dropped since the last time this was asked.
    pub(crate) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

/// The rates of all services.
#[derive(Debug, Clone)]
pub(crate) struct Meters {
    cache: Cache<ServiceKey, Arc<Meter>>,
    per_second: u32,
    burst: u32,
}

impl Meters {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let cache = Cache::builder().max_capacity(METERS_MAX).time_to_idle(IDLE).build();
        Self { cache, per_second, burst }
    }

    pub(crate) fn of(&self, key: &ServiceKey) -> Arc<Meter> {
        if let Some(meter) = self.cache.get(key) {
            return meter;
        }
        self.cache.get_with(key.clone(), || {
            let now = Instant::now();
            let guest = Mutex::new(Bucket::new(self.burst, self.per_second, now));
            let platform = Mutex::new(Bucket::new(PLATFORM_BURST, PLATFORM_PER_SECOND, now));
            Arc::new(Meter { guest, platform, dropped: AtomicU64::new(0) })
        })
    }

    /// Services that lost lines, with how many.
    pub(crate) fn take_dropped(&self) -> Vec<(ServiceKey, u64)> {
        let lost = self.cache.iter().map(|(key, meter)| (ServiceKey::clone(&key), meter.take_dropped()));
        lost.filter(|(_, count)| *count > 0).collect()
    }
}
