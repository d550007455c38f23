//! The events that services of this node consume: a pump for each `[[consume]]`, as long as it stands in the routes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use micro_api::Error;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::host::ID;
use super::{Backend, Delivery, From, GroupKey, Lease, Nack, PENDING_MAX, Then};
use crate::broker::{Deliver, Delivery as Pumped, Pump, Source, Target};
use crate::client::Codec;
use crate::log::Logs;

/// How often to look when no bell rings: a lease may have run out, or another process may have written.
pub(super) const POLL: Duration = Duration::from_secs(1);
const CONTENT_TYPE: &str = "content-type";

/// One `[[consume]]` of a running revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Consumer {
    /// What started the revision: another one takes over anew.
    pub deployment: String,
    /// In whose name events are taken.
    pub group: GroupKey,
    /// Where the group starts if it is new. [`From::End`]: with what is appended once the consumer is there.
    pub start: From,
    /// What the events call.
    pub target: Target,
}

/// The consumers of this node.
pub struct Consumers {
    backend: Arc<dyn Backend>,
    deliver: Arc<dyn Deliver>,
    logs: Arc<Logs>,
    pub(super) running: Mutex<HashMap<Consumer, CancellationToken>>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Consumers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumers").finish_non_exhaustive()
    }
}

impl Consumers {
    /// Over the log that the guests publish to.
    pub fn new(backend: Arc<dyn Backend>, deliver: Arc<dyn Deliver>, logs: Arc<Logs>) -> Arc<Self> {
        Arc::new(Self { backend, deliver, logs, running: Mutex::default(), tasks: TaskTracker::new() })
    }

    /// Takes no more events for consumers that are not in `wanted`: called before routes change. What is being delivered
    /// goes on.
    pub fn release(&self, wanted: &HashSet<Consumer>) {
        self.running.lock().retain(|consumer, stop| {
            let stays = wanted.contains(consumer);
            if !stays {
                stop.cancel();
            }
            stays
        });
    }

    /// Makes `wanted` the whole of what is served: called after routes changed. Those that stay are not disturbed.
    pub fn follow(&self, wanted: HashSet<Consumer>) {
        self.release(&wanted);
        let mut running = self.running.lock();
        for consumer in wanted {
            if running.contains_key(&consumer) || self.tasks.is_closed() {
                continue;
            }
            let stop = CancellationToken::new();
            running.insert(consumer.clone(), stop.clone());
            let source = OfGroup::new(Arc::clone(&self.backend), &consumer, self.tasks.clone());
            let (deliver, logs) = (Arc::clone(&self.deliver), Arc::clone(&self.logs));
            let pump = Pump { source, target: consumer.target, deliver, logs };
            self.tasks.spawn(pump.run(stop));
        }
    }

    /// Waits for `stop`; then takes no more events and waits for those in delivery.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        stop.cancelled().await;
        self.tasks.close();
        self.release(&HashSet::new());
        self.tasks.wait().await;
    }
}

/// A group of a topic, as a pump sees it.
pub(super) struct OfGroup {
    backend: Arc<dyn Backend>,
    group: GroupKey,
    wanted: From,
    /// Since when the consumer is there.
    since: Instant,
    /// Where the group starts, once it is known.
    start: OnceCell<From>,
    retries: u32,
    /// When events are to be tried again that this node refused: no bell rings then. At most as many as may be pending.
    again: Mutex<BTreeSet<Instant>>,
    tasks: TaskTracker,
}

impl OfGroup {
    pub(super) fn new(backend: Arc<dyn Backend>, consumer: &Consumer, tasks: TaskTracker) -> Self {
        let (group, wanted, retries) = (consumer.group.clone(), consumer.start, consumer.target.retries);
        let (since, start) = (Instant::now(), OnceCell::new());
        Self { backend, group, wanted, since, start, retries, again: Mutex::default(), tasks }
    }

    /// The group is made when the topic is there, which may be later than now: the end is a time, by the log's clock.
    async fn start(&self) -> Result<From, Error> {
        let known = self.start.get_or_try_init(async || match self.wanted {
            From::End => self.backend.now_ms().await.map(|now_ms| {
                let ago_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
                From::Since(now_ms.saturating_sub(ago_ms))
            }),
            wanted => Ok(wanted),
        });
        Ok(*known.await?)
    }

    /// Until when there is nothing to look for, at most `until`.
    fn pause(&self, until: Instant) -> Instant {
        let until = until.min(Instant::now() + POLL);
        self.again.lock().first().map_or(until, |again| until.min(*again))
    }

    /// Goes on by itself when nobody waits any more, and then gives back what it took: it would come again only after
    /// its lease, as if it had been delivered.
    async fn take(&self, lease: Lease) -> Result<Vec<Delivery>, Error> {
        let (backend, group, tasks) = (Arc::clone(&self.backend), self.group.clone(), self.tasks.clone());
        let mut taking = Box::pin(async move {
            let taken = backend.next(&group, lease).await;
            taken.map(|deliveries| Held { deliveries, backend, group, tasks })
        });
        let held = match futures::poll!(&mut taking) {
            Poll::Ready(held) => held,
            Poll::Pending => {
                let (reply, answer) = oneshot::channel();
                self.tasks.spawn(async move {
                    // What is not received is dropped, here or in the channel.
                    drop(reply.send(taking.await));
                });
                answer.await.map_err(|_| Error::internal(ID, "taking events ended"))?
            }
        };
        Ok(std::mem::take(&mut held?.deliveries))
    }

    async fn settle(
        &self,
        token: (Uuid, u32),
        delay: Duration,
        reason: &str,
        then: Then,
    ) -> Result<(), Error> {
        let (id, attempt) = token;
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let nack = Nack { attempt, delay_ms, reason: reason.to_owned(), then };
        // One whose lease ran out is nobody's loss: it comes again.
        self.backend.nack(&self.group, id, nack).await?;
        Ok(())
    }

    async fn send_back(
        &self,
        token: (Uuid, u32),
        delay: Duration,
        reason: &str,
        then: Then,
    ) -> Result<(), Error> {
        self.settle(token, delay, reason, then).await?;
        let mut again = self.again.lock();
        if again.len() < PENDING_MAX {
            // The clock of the log counts whole milliseconds.
            again.insert(Instant::now() + delay + Duration::from_millis(2));
        }
        Ok(())
    }

    fn delivery(&self, delivery: Delivery) -> Pumped<(Uuid, u32)> {
        let Delivery { event, attempt } = delivery;
        let kind = event.metadata.iter().find(|(key, _)| key.eq_ignore_ascii_case(CONTENT_TYPE));
        let kind = kind.and_then(|(_, value)| value.split(';').next()).unwrap_or_default().trim();
        let codec =
            if kind.eq_ignore_ascii_case("application/protobuf") { Codec::Protobuf } else { Codec::Json };
        let id = event.id.to_string();
        let mut metadata: Vec<_> = event.metadata.into_iter().collect();
        metadata.extend([
            ("Micro-Topic".to_owned(), self.group.topic().topic().to_owned()),
            ("Micro-Event-Id".to_owned(), id.clone()),
            ("Micro-Position".to_owned(), event.position.to_string()),
            ("Micro-Delivery".to_owned(), attempt.to_string()),
        ]);
        let token = (event.id, attempt);
        Pumped { token, attempt, metadata, codec, body: event.payload, id, traceparent: String::new() }
    }
}

/// Events that were taken and are not on their way yet.
struct Held {
    deliveries: Vec<Delivery>,
    backend: Arc<dyn Backend>,
    group: GroupKey,
    tasks: TaskTracker,
}

impl Drop for Held {
    fn drop(&mut self) {
        let deliveries = std::mem::take(&mut self.deliveries);
        if deliveries.is_empty() {
            return;
        }
        let (backend, group) = (Arc::clone(&self.backend), self.group.clone());
        self.tasks.spawn(async move {
            for Delivery { event, attempt } in deliveries {
                let nack = Nack { attempt, delay_ms: 0, reason: String::new(), then: Then::Unheard };
                if let Err(error) = backend.nack(&group, event.id, nack).await {
                    tracing::warn!(%error, "Give an event back: it comes again after its lease");
                }
            }
        });
    }
}

#[async_trait]
impl Source for OfGroup {
    type Token = (Uuid, u32);

    async fn claim(
        &self,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Pumped<Self::Token>>, Error> {
        let until = Instant::now() + wait;
        // Before the first look, so that an event between the look and the wait is heard.
        let mut bell = self.backend.bell(self.group.topic());
        let lease = Lease {
            max,
            ack_wait_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX).max(1),
            retries: Some(self.retries),
            in_flight: max,
            start: self.start().await?,
        };
        loop {
            bell.borrow_and_update();
            let now = Instant::now();
            self.again.lock().retain(|again| *again > now);
            let taken = self.take(lease).await?;
            if !taken.is_empty() || now >= until {
                return Ok(taken.into_iter().map(|delivery| self.delivery(delivery)).collect());
            }
            let pause = tokio::time::sleep_until(self.pause(until).into());
            tokio::select! {
                () = pause => {}
                // A closed bell rings no more: then only the time is left.
                Ok(()) = bell.changed() => {}
            }
        }
    }

    async fn ack(&self, tokens: Vec<Self::Token>) -> Result<(), Error> {
        let ids: Vec<Uuid> = tokens.into_iter().map(|(id, _)| id).collect();
        self.backend.ack(&self.group, &ids).await?;
        Ok(())
    }

    async fn nack(&self, token: Self::Token, delay: Duration) -> Result<(), Error> {
        // The pump sends back what has no retries left only when it stops: the next one is to have it.
        let then = if token.1 > self.retries { Then::Unheard } else { Then::Again };
        self.send_back(token, delay, "refused", then).await
    }

    async fn unheard(&self, token: Self::Token) -> Result<(), Error> {
        self.send_back(token, Duration::ZERO, "", Then::Unheard).await
    }

    async fn wanted(&self) -> Result<(), Error> {
        // A group with a name stays.
        Ok(())
    }

    async fn bury(&self, token: Self::Token, reason: &str) -> Result<(), Error> {
        self.settle(token, Duration::ZERO, reason, Then::Dead).await
    }
}
