//! What goes on beside the calls: a sign of life of this process, and the removal of what is not kept any more.

use std::sync::{Arc, Weak};
use std::time::Duration;

use micro_api::name::Namespace;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::{Log, rows};
use crate::events::Error;
use crate::keeping::ToldOnce;
use crate::redis::Call;

/// Events that one step removes.
const STEP: usize = 128;
/// Steps of one sweep of a namespace; the next goes on.
pub(super) const SWEEP_STEPS: usize = 80;
/// Groups without a name of their own that one sweep of a namespace forgets.
const FORGET: usize = 256;
/// How long such a group lives that nobody asks for, milliseconds.
const EPHEMERAL_MS: u64 = 600_000;
/// Namespaces that are looked up at once.
const SPACES: usize = 100;

impl Log {
    /// Removes what is not kept any more, in at most so many steps.
    pub(super) async fn trim(&self, namespace: &Namespace, steps: usize) -> Result<(), Error> {
        let retention = self.plans.of(namespace);
        let mut all_lost = 0;
        for _ in 0..steps {
            let call = self.call(&self.scripts.trim, namespace).arg(rows::number(retention.age_ms));
            let call = call.arg(rows::number(retention.bytes)).arg(STEP);
            // Made again because its connection broke, it removes a step more.
            let (lost, more): (u64, i64) = self.server.retried(&call).await?;
            all_lost += lost;
            if more == 0 {
                break;
            }
        }
        if all_lost > 0 {
            tracing::warn!(%namespace, lost = all_lost, "retention removed events that a group had not acknowledged");
        }
        Ok(())
    }

    /// Removes old events of all namespaces, and groups that nobody asks for.
    pub(super) async fn sweep(&self) -> Result<(), Error> {
        let mut cursor = 0_u64;
        loop {
            let mut scan = ::redis::cmd("SSCAN");
            scan.arg(&self.spaces).arg(cursor).arg("COUNT").arg(SPACES);
            let (next, names): (u64, Vec<String>) = self.server.retried(&Call::plain(scan)).await?;
            for namespace in names.iter().filter_map(|name| name.parse::<Namespace>().ok()) {
                self.trim(&namespace, SWEEP_STEPS).await?;
                let forget = self.call(&self.scripts.forget, &namespace).arg(EPHEMERAL_MS).arg(FORGET);
                self.server.retried::<i64>(&forget).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// What this process took is its own for so long again.
    pub(super) async fn pulse(&self) -> Result<(), Error> {
        let call = Call::script(&self.scripts.pulse, &super::names::keys(self.server.prefix(), ""));
        let call = call.arg("").arg(&self.node).arg(self.node_lease_ms);
        Ok(self.server.retried::<()>(&call).await?)
    }
}

/// Ends with the log.
pub(super) fn keep_alive(log: &Arc<Log>, every: Duration) -> AbortOnDropHandle<()> {
    let log = Arc::downgrade(log);
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut told = ToldOnce::default();
        while let Some(alive) = Weak::upgrade(&log) {
            told.note(&alive.pulse().await, "Other nodes may take what this one has in hand");
            drop(alive);
            sleep(every).await;
        }
    }))
}
