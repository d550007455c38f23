//! What a revision on this node used, for `micro stats`.

use std::time::Duration;

use micro_api::ServiceName;
use micro_api::stats::NodeStats;

use super::{Known, Node};

impl Node {
    pub(super) fn read_stats(&self, service: &ServiceName, known: &Known) -> NodeStats {
        let stats = self.parts.runtime.stats(&known.revision);
        let started_ms = known.started_ms;
        NodeStats {
            service: service.to_string(),
            version: known.active.version.clone(),
            node: known.id.clone(),
            address: self.parts.address.clone(),
            started_ms,
            uptime_ms: micro_db::now_ms().saturating_sub(started_ms).max(0),
            memory: stats.memory_bytes,
            threads: stats.instances,
            gc: 0,
            requests: stats.requests,
            errors: stats.errors,
            cpu_ms: whole(stats.cpu.as_millis()),
            p50_us: micros(stats.p50),
            p99_us: micros(stats.p99),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    whole(duration.as_micros())
}

fn whole(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
