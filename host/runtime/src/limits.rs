//! The limits of one service, and the memory limiter of one instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use micro_api::manifest;
use micro_capability::Tally;
use wasmtime::ResourceLimiterAsync;

use crate::config::ServiceLimits;
use crate::meter::{Met, Meter};
use crate::stats::Stats;

impl ServiceLimits {
    /// These limits as ceilings, lowered by what a manifest asks for. The builder has refused what cannot be read.
    pub fn lowered(mut self, asked: &manifest::Limits) -> Self {
        let memory = asked.memory_bytes().and_then(|bytes| usize::try_from(bytes).ok());
        self.memory_bytes = memory.map_or(self.memory_bytes, |asked| asked.min(self.memory_bytes));
        self.request_bytes =
            asked.request_bytes().map_or(self.request_bytes, |asked| asked.min(self.request_bytes));
        self.response_bytes =
            asked.response_bytes().map_or(self.response_bytes, |asked| asked.min(self.response_bytes));
        self.cpu = asked.cpu().map_or(self.cpu, |asked| asked.min(self.cpu));
        self.job_wall = asked.wall().map_or(self.job_wall, |asked| asked.min(self.job_wall));
        self.wall = asked.wall().map_or(self.wall, |asked| asked.min(self.wall));
        self
    }
}

/// Guest memory of the whole node.
#[derive(Debug)]
pub(crate) struct NodeMemory {
    budget_bytes: u64,
    used_bytes: AtomicU64,
}

impl NodeMemory {
    pub(crate) fn new(budget_bytes: u64) -> Self {
        Self { budget_bytes, used_bytes: AtomicU64::new(0) }
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Relaxed)
    }

    /// A new instance may start: a sixteenth of the budget is kept for those that run.
    pub(crate) fn has_room(&self) -> bool {
        self.used_bytes() <= self.budget_bytes - self.budget_bytes / 16
    }

    fn take(&self, bytes: u64) -> bool {
        let taken = self.used_bytes.fetch_update(Relaxed, Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= self.budget_bytes)
        });
        taken.is_ok()
    }

    fn give(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Relaxed);
    }
}

/// Sums memories and tables over one store: wasmtime's own limits count each memory alone.
pub(crate) struct Limiter {
    memory_bytes_max: usize,
    table_elements_max: usize,
    memory_bytes: usize,
    table_elements: usize,
    meter: Arc<Meter>,
    node: Arc<NodeMemory>,
    stats: Arc<Stats>,
    tally: Arc<Tally>,
}

impl Limiter {
    pub(crate) fn new(
        limits: &ServiceLimits,
        meter: Arc<Meter>,
        node: Arc<NodeMemory>,
        stats: Arc<Stats>,
        tally: Arc<Tally>,
    ) -> Self {
        stats.instances.fetch_add(1, Relaxed);
        Self {
            memory_bytes_max: limits.memory_bytes,
            table_elements_max: limits.table_elements,
            memory_bytes: 0,
            table_elements: 0,
            meter,
            node,
            stats,
            tally,
        }
    }
}

/// A guest that takes so much at once will fill it at once, which nothing interrupts: about two milliseconds of page
/// faults.
const FRONT_GROWTH_BYTES_MAX: usize = 4 << 20;

impl Limiter {
    fn grow_memory(&mut self, more: usize) -> bool {
        if self.memory_bytes.saturating_add(more) > self.memory_bytes_max {
            self.meter.meet(Met::Memory);
            return false;
        }
        if !self.node.take(more as u64) {
            self.meter.meet(Met::NodeMemory);
            return false;
        }
        if !self.tally.take_memory(more as u64) {
            self.node.give(more as u64);
            self.meter.meet(Met::SpaceMemory);
            return false;
        }
        self.memory_bytes += more;
        self.stats.memory_bytes.fetch_add(more as u64, Relaxed);
        true
    }

    fn grow_table(&mut self, more: usize) -> bool {
        if self.table_elements.saturating_add(more) > self.table_elements_max {
            self.meter.meet(Met::Table);
            return false;
        }
        self.table_elements += more;
        true
    }
}

#[async_trait]
impl ResourceLimiterAsync for Limiter {
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let grows = self.grow_memory(more);
        if grows && current > 0 && more > FRONT_GROWTH_BYTES_MAX && self.meter.leave_front() {
            // Before the memory is touched.
            tokio::task::yield_now().await;
        }
        Ok(grows)
    }

    async fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow_table(desired.saturating_sub(current)))
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.node.give(self.memory_bytes as u64);
        self.tally.give_memory(self.memory_bytes as u64);
        self.stats.memory_bytes.fetch_sub(self.memory_bytes as u64, Relaxed);
        self.stats.instances.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::time::Duration;

    use micro_api::Namespace;
    use micro_capability::{SpaceLimits, Tallies};

    fn asked(text: &str) -> manifest::Limits {
        manifest::Limits { memory: Some(text.to_owned()), ..Default::default() }
    }

    #[test]
    fn a_manifest_lowers_and_never_raises() {
        let limits = ServiceLimits::default();
        assert_eq!(limits.lowered(&asked("64MiB")).memory_bytes, 64 << 20);
        assert_eq!(limits.lowered(&asked("64GiB")).memory_bytes, limits.memory_bytes);
        let wall = manifest::Limits { wall: Some("250ms".to_owned()), ..Default::default() };
        assert_eq!(limits.lowered(&wall).wall, Duration::from_millis(250));
        assert_eq!(limits.lowered(&Default::default()), limits);
    }

    #[test]
    fn memory_and_tables_are_summed_and_given_back() {
        let node = Arc::new(NodeMemory::new(5 << 16));
        let stats = Arc::new(Stats::default());
        let (namespace, tallies) = ("default".parse::<Namespace>().unwrap(), Tallies::default());
        let tally = tallies.of(&namespace, &"app".parse().unwrap());
        let meter = Arc::new(Meter::new(Arc::clone(&tally)));
        let limits = ServiceLimits { memory_bytes: 4 << 16, table_elements: 10, ..ServiceLimits::default() };
        let limiter = || {
            let (meter, node, stats) = (Arc::clone(&meter), Arc::clone(&node), Arc::clone(&stats));
            Limiter::new(&limits, meter, node, stats, Arc::clone(&tally))
        };
        let mut one = limiter();
        assert!(one.grow_memory(3 << 16));
        assert!(!one.grow_memory(2 << 16), "the second memory counts too");
        assert_eq!(meter.met(), Met::Memory);
        let mut two = limiter();
        assert!(!two.grow_memory(3 << 16), "the node is full");
        assert_eq!(meter.met(), Met::NodeMemory);
        let space = SpaceLimits { memory_bytes: 4 << 16, ..SpaceLimits::default() };
        tallies.limit(&HashMap::from([(namespace, space)]));
        assert!(!two.grow_memory(2 << 16), "the namespace is full");
        assert_eq!((meter.met(), node.used_bytes()), (Met::SpaceMemory, 3 << 16));
        assert!(two.grow_table(6));
        assert!(!two.grow_table(6));
        drop((one, two));
        assert_eq!((node.used_bytes(), stats.read(false)), (0, Default::default()));
        assert_eq!(tally.space().memory_bytes(), 0);
    }
}
