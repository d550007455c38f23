//! What a revision on this node used, for `micro stats`, and what a namespace holds, for `micro limits`.

use std::time::Duration;

use micro_api::stats::NodeStats;
use micro_api::{Namespace, ServiceName};
use micro_capability::events;
use micro_control::Load;

use super::{Known, Node};

/// How long events may take to say what they hold: the other limits are worth showing without it.
const HELD_WITHIN: Duration = Duration::from_secs(2);

impl Node {
    pub(super) async fn read_load(&self, namespace: &Namespace) -> Load {
        let signed = |value| i64::try_from(value).unwrap_or(i64::MAX);
        let space = self.parts.meters.tallies.space(namespace);
        let (instances, memory) = space.map_or((0, 0), |space| (space.instances(), space.memory_bytes()));
        let held = tokio::time::timeout(HELD_WITHIN, self.parts.events.held(namespace)).await;
        let event_bytes = held.unwrap_or(Err(events::Error::Busy)).unwrap_or_else(|error| {
            tracing::warn!(%namespace, %error, "What the events hold is not known");
            0
        });
        Load { instances: signed(instances), memory: signed(memory), event_bytes: signed(event_bytes) }
    }

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
