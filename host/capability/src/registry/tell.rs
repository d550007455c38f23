//! Tells changes of the registry to services, as messages on a topic of their namespace (REG-07).
//!
//! Each node sees each change, and one tells it: the one that leads, by a lease. So a change is told once. When the node
//! that leads has died, the next one tells also what came since its last word: around that moment a change may be told
//! twice, and none is left out, as far as the log reaches back.
//!
//! A namespace without a service that subscribes costs nothing: the broker is not asked.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use micro_api::name::Namespace;
use micro_api::registry::{Action, Service};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Log;
use super::log::Told;
use crate::broker::{self, Backend, MESSAGE_BYTES_MAX, Message, TopicKey};
use crate::client::Codec;
use crate::context::unix_ms;

/// Where they are told. Nobody but the platform publishes to it.
pub const TOPIC: &str = "go.micro.registry.events";
/// Whom subscribers see as the publisher.
const FROM: &str = "registry";
/// How much later one node may see a change than another.
const APART: Duration = Duration::from_secs(1);
/// Pause while the broker is away.
const RETRY: Duration = Duration::from_millis(500);
/// How often a message is tried while the broker is away.
const TRIES: u32 = 20;

/// Whether this node tells.
#[derive(Debug, Clone, Copy)]
struct Lead {
    until: Instant,
    gap: Duration,
}

/// Tells changes of the registry.
pub struct Teller {
    broker: Arc<dyn Backend>,
    log: Arc<Log>,
    /// Namespaces in which somebody listens.
    wanted: Mutex<HashSet<Namespace>>,
    lead: watch::Sender<Option<Lead>>,
}

impl std::fmt::Debug for Teller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teller").finish_non_exhaustive()
    }
}

/// What a subscriber gets.
#[derive(Debug, Serialize)]
struct Event<'a> {
    id: String,
    r#type: Action,
    /// Unix milliseconds.
    timestamp: i64,
    service: &'a Service,
}

impl Teller {
    /// Tells by `broker` what `log` says.
    pub fn new(broker: Arc<dyn Backend>, log: Arc<Log>) -> Arc<Self> {
        let (wanted, lead) = (Mutex::default(), watch::Sender::new(None));
        Arc::new(Self { broker, log, wanted, lead })
    }

    /// Makes those topics all that services of this platform subscribe to.
    pub fn follow<'a>(&self, topics: impl Iterator<Item = &'a TopicKey>) {
        let wanted = topics.filter(|topic| topic.topic() == TOPIC).map(|topic| topic.namespace().clone());
        *self.wanted.lock() = wanted.collect();
    }

    /// This node tells, no longer than `until`. For `gap` before, nobody was sure to.
    pub fn lead(&self, until: Instant, gap: Duration) {
        self.lead.send_replace(Some(Lead { until, gap }));
    }

    /// Another node tells.
    pub fn rest(&self) {
        self.lead.send_replace(None);
    }

    /// Tells what changes from now on, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.tell_all() => {}
        }
    }

    async fn tell_all(&self) {
        let mut first = self.log.newest();
        let mut lead = self.lead.subscribe();
        loop {
            let Ok(Some(now)) = lead.wait_for(|lead| self.leads(*lead)).await.map(|lead| *lead) else {
                return;
            };
            // Who told before may have tried its last message for so long, while others waited behind it.
            let since = now.gap.saturating_add(APART).saturating_add(RETRY * TRIES);
            let since = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
            let now_ms = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
            let mut place = self.log.before(now_ms.saturating_sub(since)).max(first);
            while self.leads(*lead.borrow_and_update()) {
                let Some((number, told, missed)) = self.log.next(place) else {
                    let until = lead.borrow().map_or_else(Instant::now, |lead| lead.until);
                    tokio::select! {
                        () = self.log.passes(place) => {}
                        _ = lead.changed() => {}
                        () = tokio::time::sleep_until(until) => {}
                    }
                    continue;
                };
                if missed > 0 {
                    tracing::warn!(
                        missed,
                        "Changes of the registry were not told: there were too many at once"
                    );
                }
                self.tell(&told).await;
                place = number;
            }
            first = place;
        }
    }

    fn leads(&self, lead: Option<Lead>) -> bool {
        lead.is_some_and(|lead| Instant::now() < lead.until)
    }

    async fn tell(&self, told: &Told) {
        if !self.wanted.lock().contains(&told.namespace) {
            return;
        }
        let Ok(topic) = TopicKey::new(&told.namespace, TOPIC) else { return };
        let message = message(told);
        for _ in 0..TRIES {
            match self.broker.publish(&topic, message.clone()).await {
                Ok(_) => return,
                // It may have happened: who gets it twice knows it by its id.
                Err(broker::Error::Away(_) | broker::Error::Unsure(_)) => tokio::time::sleep(RETRY).await,
                Err(error) => {
                    let namespace = told.namespace.as_str();
                    tracing::warn!(namespace, %error, "A change of the registry was not told");
                    return;
                }
            }
        }
        tracing::warn!(
            namespace = told.namespace.as_str(),
            "A change of the registry was not told: no broker"
        );
    }
}

fn message(told: &Told) -> Message {
    let id = Uuid::new_v4().to_string();
    let event = |service| Event { id: id.clone(), r#type: told.action, timestamp: told.timestamp, service };
    let encode = |service| serde_json::to_vec(&event(service)).unwrap_or_default();
    let mut body = encode(&told.service);
    if body.len() > MESSAGE_BYTES_MAX {
        let Service { name, version, nodes, .. } = told.service.as_ref().clone();
        // Who wants the endpoints can look them up.
        body = encode(&Service { name, version, nodes, ..Service::default() });
    }
    Message {
        id: id.clone(),
        headers: Vec::new(),
        body: body.into(),
        codec: Codec::Json,
        from: Some(FROM.to_owned()),
        traceparent: String::new(),
        published_ms: unix_ms(),
    }
}
