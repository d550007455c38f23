//! The lease of this node: until it runs out, what the node starts and the jobs that it runs are its own.
//!
//! The database says when it ends, by its own clock. This process counts from before it asked, so that it lets go
//! before another node may take over, also where it was the process that stood still.

use std::sync::Arc;
use std::time::Duration;

use micro_db::Beat;
use micro_db::nodes::LEASE_MS;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::error::chain;
use crate::{Control, Lead};

/// How often the lease is renewed.
const BEAT: Duration = Duration::from_secs(3);
/// Pause after the database refused.
const RETRY: Duration = Duration::from_millis(500);
/// So long before the end of its lease a node lets go of what it has.
const MARGIN: Duration = Duration::from_secs(1);
/// How long the last word may take.
const RELEASE: Duration = Duration::from_secs(2);

/// Telling changes of the registry.
const EVENTS: &str = "registry.events";

/// Whether this node has its lease.
pub(crate) struct Lease {
    /// Which process of the node this is.
    process: String,
    /// The number of the lease; none: there is none. One that ran out and began again has another number.
    number: watch::Sender<Option<u64>>,
}

impl Default for Lease {
    fn default() -> Self {
        Self { process: uuid::Uuid::new_v4().to_string(), number: watch::Sender::new(None) }
    }
}

impl Lease {
    /// Sees when it begins and ends.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<u64>> {
        self.number.subscribe()
    }

    /// The number of the lease, if there is one.
    pub(crate) fn number(&self) -> Option<u64> {
        *self.number.borrow()
    }

    /// Does `work` for as long as the lease of that number lasts. False: it was given up.
    pub(crate) async fn hold(&self, number: u64, work: impl Future<Output = ()>) -> bool {
        let mut numbers = self.number.subscribe();
        tokio::select! {
            biased;
            // The sender lives in `self`, so this ends only with the lease.
            _ = numbers.wait_for(|now| *now != Some(number)) => false,
            () = work => true,
        }
    }
}

/// Renews the lease until `stop`, then gives it up.
pub(crate) async fn run(control: Arc<Control>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = renew(&control) => {}
    }
    let lease = &control.lease;
    lease.number.send_replace(None);
    let release = control.db.release_node(&control.config.node_id, &lease.process);
    match tokio::time::timeout(RELEASE, release).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = chain(&error), "The node's lease was not given up"),
        Err(_) => tracing::warn!("The node's lease was not given up in time"),
    }
}

/// Has the node do what one does for all, where it is the one. What it is told holds until
/// the lease ends; asking must not delay the next beat.
async fn lead(control: &Control, limit: Instant, until: Instant) {
    let lead = control.db.lead(EVENTS, &control.config.node_id, LEASE_MS);
    match timeout_at(limit, lead).await {
        Ok(Ok(Some(gap_ms))) => {
            let gap = Duration::from_millis(u64::try_from(gap_ms).unwrap_or_default());
            control.node.leads(Some(Lead { until, gap })).await;
        }
        Ok(Ok(None)) => control.node.leads(None).await,
        Ok(Err(error)) => {
            tracing::warn!(error = chain(&error), "Who tells changes of the registry is not known")
        }
        Err(_) => {}
    }
}

async fn renew(control: &Control) {
    let lease = &control.lease;
    let span = Duration::from_millis(u64::try_from(LEASE_MS).unwrap_or_default()).saturating_sub(MARGIN);
    let mut newest = 0;
    let mut until = Instant::now() + span;
    loop {
        let asked = Instant::now();
        // Without a lease there is nothing to lose by waiting.
        let limit = if lease.number().is_some() { until } else { asked + span };
        let beat = control.db.beat_node(&control.config.node_id, &lease.process, LEASE_MS);
        let answer = timeout_at(limit, beat).await;
        let mut next = asked + BEAT;
        match answer {
            Ok(Ok(beat)) => {
                if lease.number().is_none() || beat == Beat::Begun {
                    if newest > 0 {
                        tracing::warn!(
                            "The node's lease had run out: its jobs were ended, and are taken up anew"
                        );
                    }
                    newest += 1;
                    lease.number.send_replace(Some(newest));
                }
                until = asked + span;
                lead(control, next, until).await;
            }
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "The node's lease was not renewed");
                next = Instant::now() + RETRY;
            }
            Err(_) => next = Instant::now() + RETRY,
        }
        // What came too late came after another node may have taken over.
        if Instant::now() >= until {
            lease.number.send_if_modified(|number| number.take().is_some());
        }
        let has_one = lease.number().is_some();
        sleep_until(if has_one { next.min(until) } else { next }).await;
    }
}
