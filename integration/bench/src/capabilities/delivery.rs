//! Messages and events that call a guest, by us and by a client library alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use micro_capability::Scope;
use micro_capability::broker::{Call, Deliver, Target, Undelivered};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::floor::nanos;
use super::looper::{Looper, scope};

/// How many are delivered in a turn.
pub(super) const DELIVERED: u64 = 300;
/// How long an answer may take.
const ACK_WAIT: Duration = Duration::from_secs(600);

/// The guest, so many calls at once.
pub(super) fn target(concurrency: u64) -> Result<Target> {
    Ok(Target {
        scope: scope()?,
        endpoint: "Looper.Hear".to_owned(),
        concurrency: usize::try_from(concurrency)?,
        retries: 0,
        ack_wait: ACK_WAIT,
        delay: Duration::ZERO,
    })
}

/// Calls the guest, as the gateway would, and counts.
pub(super) struct Heard {
    left: AtomicU64,
    none_left: Notify,
    looper: Arc<Looper>,
}

impl Heard {
    pub(super) fn new(looper: &Arc<Looper>, calls: u64) -> Arc<Self> {
        let (left, none_left) = (AtomicU64::new(calls), Notify::new());
        Arc::new(Self { left, none_left, looper: Arc::clone(looper) })
    }

    /// When the last call is over.
    pub(super) async fn all(&self) -> Result<()> {
        tokio::time::timeout(ACK_WAIT, self.none_left.notified()).await.context("a delivery did not come")
    }
}

#[async_trait]
impl Deliver for Heard {
    fn ready(&self, _scope: &Scope) -> Result<(), micro_api::Error> {
        Ok(())
    }

    async fn deliver(&self, _call: Call) -> Result<Bytes, Undelivered> {
        let heard = self.looper.hear().await;
        heard.map_err(|error| micro_api::Error::internal("bench", format!("{error:#}")))?;
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.none_left.notify_one();
        }
        Ok(Bytes::new())
    }
}

/// What a floor takes from.
#[async_trait]
pub(super) trait Source: Send + Sync + 'static {
    type Token: Send + 'static;

    /// As many as may be under way, at once: that costs the fewest calls.
    async fn take(&self) -> Result<Vec<Self::Token>>;

    async fn ack(&self, token: Self::Token) -> Result<()>;
}

/// Seconds of a delivery without us, of so many. As ours they are over when the last call is, whose acknowledgement
/// nobody waits for.
pub(super) async fn delivered<S: Source>(source: Arc<S>, looper: &Arc<Looper>, calls: u64) -> Result<f64> {
    let (last, looper) = (Arc::new(AtomicU64::new(0)), Arc::clone(looper));
    let over = Arc::clone(&last);
    // In a task of its own, as ours.
    let all = tokio::spawn(async move {
        let (since, mut left) = (Instant::now(), calls);
        while left > 0 {
            let some = source.take().await?;
            ensure!(!some.is_empty(), "{left} deliveries did not come");
            left = left.saturating_sub(some.len() as u64);
            let mut under_way = JoinSet::new();
            for token in some {
                let (source, looper) = (Arc::clone(&source), Arc::clone(&looper));
                let over = Arc::clone(&over);
                under_way.spawn(async move {
                    looper.hear().await?;
                    over.fetch_max(nanos(since), Ordering::Relaxed);
                    source.ack(token).await
                });
            }
            while let Some(done) = under_way.join_next().await {
                done.context("a delivery ended")??;
            }
        }
        anyhow::Ok(())
    });
    all.await.context("the deliveries ended")??;
    Ok(last.load(Ordering::Relaxed) as f64 / 1e9 / calls as f64)
}
