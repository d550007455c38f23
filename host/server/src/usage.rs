//! The node's books: what services used is written down every second, and what namespaces may use is known here.
//!
//! [`Keeper::run`] reads the sums that the runtime and the capabilities count ([`Tallies`]), and sends what was added
//! since the second before as a numbered batch. A batch whose fate is unknown is sent again under its number, so
//! nothing counts twice; what a crash loses is what was not sent yet, at most a second's. The answer brings what may be
//! spent next of the budgets of a month ([`Budgets`]).

pub(crate) mod budgets;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use micro_api::{Namespace, ServiceName};
use micro_capability::blob::Quotas;
use micro_capability::events;
use micro_capability::store::Books;
use micro_capability::{SpaceLimits, Sums, Tallies};
use micro_control::{Plan, Plans};
use micro_db::calendar::{DAY_MS, day_of};
use micro_db::usage::{Batch, Sample, StoreSize};
use micro_db::{Db, Tenant};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::budgets::Budgets;

/// How often the books are written.
const EVERY: Duration = Duration::from_secs(1);
/// Not sooner after the last time, however fast a budget is used.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a budget's slice is held without being used.
const LEASE_MS: i64 = 30_000;
/// Longest time that events are kept: a thousand years.
const DAYS_MAX: i64 = 365_000;
/// Batches between two looks at what nobody counts on any more.
const FORGET_EVERY: i64 = 60;

/// What the books are about.
#[derive(Debug, Clone)]
pub(crate) struct Meters {
    pub(crate) tallies: Arc<Tallies>,
    pub(crate) books: Arc<Books>,
    pub(crate) budgets: Arc<Budgets>,
    /// Of blobs.
    pub(crate) blobs: Arc<Quotas>,
    /// How long events are kept.
    pub(crate) events: Arc<events::Plans>,
}

impl Meters {
    /// Nothing used, nothing limited.
    pub(crate) fn new() -> Self {
        let tallies = Arc::<Tallies>::default();
        let budgets = Budgets::new(Arc::clone(&tallies));
        let (budgets, events) = (Arc::new(budgets), Arc::default());
        Self { tallies, books: Arc::default(), budgets, blobs: Arc::default(), events }
    }

    /// Makes the plans of `tenants` what namespaces are held to on this node.
    pub(crate) fn follow(&self, tenants: &HashMap<Namespace, Tenant>, plans: &Plans) {
        let (mut budgets, mut spaces) = (HashMap::new(), HashMap::new());
        let (mut stores, mut blobs, mut events) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (namespace, tenant) in tenants {
            let plan = plans.of_namespace(namespace, Some(&tenant.plan));
            let limited: Vec<_> = plan.budgets().collect();
            if !limited.is_empty() {
                budgets.insert(namespace.clone(), limited);
            }
            let most = |max: Option<i64>| max.map_or(u64::MAX, |max| u64::try_from(max).unwrap_or(0));
            let (instances, memory_bytes) = (most(plan.limits.instances), most(plan.limits.memory));
            spaces.insert(namespace.clone(), SpaceLimits { instances, memory_bytes });
            if plan.limits.store_bytes.is_some() {
                stores.insert(namespace.clone(), most(plan.limits.store_bytes));
            }
            if plan.limits.blob_bytes.is_some() {
                blobs.insert(namespace.clone(), most(plan.limits.blob_bytes));
            }
            events.insert(namespace.clone(), retention(plan));
        }
        spaces.retain(|_, limits| *limits != SpaceLimits::default());
        self.budgets.replace(budgets);
        self.tallies.limit(&spaces);
        self.books.limit(stores);
        self.blobs.set(blobs);
        self.events.limit(events);
    }
}

/// How long the events of a plan are kept.
fn retention(plan: &Plan) -> events::Retention {
    // More days than these are for ever, and still a number that every backend can count with.
    let days = plan.limits.event_days().clamp(0, DAYS_MAX);
    events::Retention {
        age_ms: u64::try_from(days * DAY_MS).unwrap_or(0),
        bytes: u64::try_from(plan.limits.event_bytes()).unwrap_or(0),
    }
}

/// For how many days lines of logs are kept.
pub(crate) fn log_days(tenants: &HashMap<Namespace, Tenant>, plans: &Plans) -> HashMap<Namespace, u32> {
    let days = |(namespace, tenant): (&Namespace, &Tenant)| {
        let days = plans.of_namespace(namespace, Some(&tenant.plan)).limits.log_days?;
        Some((namespace.clone(), u32::try_from(days).unwrap_or(u32::MAX)))
    };
    tenants.iter().filter_map(days).collect()
}

/// Unix milliseconds.
pub(crate) type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Who keeps the books of this process.
pub(crate) struct Keeper {
    db: Db,
    meters: Meters,
    clock: Clock,
    node: String,
    boot: String,
    /// Of the batch that is sent next.
    sequence: i64,
    /// What was sent, or is in `pending`.
    sent: HashMap<(Namespace, ServiceName), Sums>,
    /// Was sent, and is not known to have arrived.
    pending: Option<Batch>,
    /// Up to here all was collected.
    collected_ms: i64,
    failing: bool,
}

impl Keeper {
    /// `node` is the same after a restart.
    pub(crate) fn new(db: Db, meters: Meters, node: String, clock: Clock) -> Self {
        let collected_ms = clock();
        let boot = uuid::Uuid::new_v4().to_string();
        Self {
            db,
            meters,
            clock,
            node,
            boot,
            sequence: 1,
            sent: HashMap::new(),
            pending: None,
            collected_ms,
            failing: false,
        }
    }

    /// Keeps the books until `stop`, which comes when nothing is served any more; then writes the last page.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let began = Instant::now();
            self.flush(false).await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(self.until_next()) => {}
                () = self.meters.budgets.hungry() => tokio::time::sleep_until(began + PAUSE).await,
            }
        }
        // What was in flight first, then what came after it.
        if self.pending.is_some() {
            self.flush(true).await;
        }
        self.flush(true).await;
    }

    /// A second, or less where a day ends before: what is used belongs to the day that it was used on.
    fn until_next(&self) -> Duration {
        let now = (self.clock)();
        let midnight = u64::try_from((day_of(now) + 1) * DAY_MS - now).unwrap_or(1).max(1);
        EVERY.min(Duration::from_millis(midnight))
    }

    /// Sends what was used since the last time, or once more what may not have arrived. `last`: gives back what is
    /// held of budgets.
    async fn flush(&mut self, last: bool) {
        let batch = match self.pending.take() {
            Some(batch) => batch,
            None => self.collect(last),
        };
        if batch.is_empty() {
            return;
        }
        match self.db.flush_usage(&batch).await {
            Ok(grants) => {
                self.meters.budgets.take(&grants, batch.now_ms.saturating_add(batch.lease_ms));
                self.sequence = batch.sequence + 1;
                self.failing = false;
                if batch.sequence % FORGET_EVERY == 0 {
                    self.forget();
                }
            }
            Err(error) => {
                if !self.failing {
                    tracing::warn!(
                        error = format!("{:#}", anyhow::Error::new(error)),
                        "Usage cannot be written down"
                    );
                }
                self.failing = true;
                self.pending = Some(batch);
            }
        }
    }

    fn collect(&mut self, last: bool) -> Batch {
        let now_ms = (self.clock)();
        let day = day_of(self.collected_ms);
        self.collected_ms = now_ms;
        let mut samples = Vec::new();
        self.meters.budgets.mark();
        for (namespace, service, sums) in self.meters.tallies.read() {
            let key = (namespace, service);
            let before = self.sent.get(&key).copied().unwrap_or_default();
            if sums == before {
                continue;
            }
            let sample = sample(&key, day, &before, &sums);
            self.meters.budgets.spend(&key.0, sample.cpu_ms, sample.egress_bytes);
            self.sent.insert(key, sums);
            if [sample.requests, sample.cpu_ms, sample.memory_mib_seconds, sample.egress_bytes] != [0; 4] {
                samples.push(sample);
            }
        }
        let stores =
            self.meters.books.take_changed().into_iter().map(|(namespace, service, bytes)| StoreSize {
                namespace: namespace.to_string(),
                service,
                bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            });
        Batch {
            node: self.node.clone(),
            boot: self.boot.clone(),
            sequence: self.sequence,
            now_ms,
            samples,
            stores: stores.collect(),
            wishes: self.meters.budgets.wishes(now_ms, last),
            lease_ms: LEASE_MS,
        }
    }

    /// Lets go of services that are gone from this node.
    fn forget(&mut self) {
        let sent = &self.sent;
        self.meters.tallies.forget(|namespace, service, sums| {
            sent.get(&(namespace.clone(), service.clone())).is_some_and(|sent| sent == sums)
        });
        let known: std::collections::HashSet<_> = self
            .meters
            .tallies
            .read()
            .into_iter()
            .map(|(namespace, service, _)| (namespace, service))
            .collect();
        self.sent.retain(|key, _| known.contains(key));
    }
}

/// What was added between two readings, in the books' units. Each reading is rounded down before they are compared, so
/// no part of a unit is lost.
fn sample(key: &(Namespace, ServiceName), day: i64, before: &Sums, now: &Sums) -> Sample {
    let added = |of: fn(&Sums) -> u128| i64::try_from(of(now).saturating_sub(of(before))).unwrap_or(i64::MAX);
    Sample {
        namespace: key.0.to_string(),
        service: key.1.to_string(),
        day,
        requests: added(|sums| u128::from(sums.requests)),
        cpu_ms: added(|sums| sums.cpu.as_millis()),
        memory_mib_seconds: added(|sums| sums.memory_byte_us / (1_000_000 << 20)),
        egress_bytes: added(|sums| u128::from(sums.egress_bytes)),
    }
}

#[cfg(test)]
mod tests;
