//! The subscriptions that this node serves: a pump for each, as long as it stands in the routes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_api::Error;
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Backend, Claim, Claimed, Deliver, Delivery, Group, GroupKey, Pump, Source, Target, Token};
use crate::log::Logs;

/// How often groups that nobody asks for are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// One `[[subscribe]]` of a running revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subscription {
    /// What started the revision: another one takes over anew.
    pub deployment: String,
    /// The group that it belongs to.
    pub group: GroupKey,
    /// What its messages call.
    pub target: Target,
    /// Messages that are given up are kept.
    pub dead_letter: bool,
}

/// The broker's workers on this node.
pub struct Broker {
    backend: Arc<dyn Backend>,
    deliver: Arc<dyn Deliver>,
    logs: Arc<Logs>,
    running: Mutex<HashMap<Subscription, CancellationToken>>,
    /// Groups that were followed last.
    followed: AsyncMutex<HashSet<GroupKey>>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

impl Broker {
    /// Over the backend that the guests publish to.
    pub fn new(backend: Arc<dyn Backend>, deliver: Arc<dyn Deliver>, logs: Arc<Logs>) -> Arc<Self> {
        Arc::new(Self {
            backend,
            deliver,
            logs,
            running: Mutex::default(),
            followed: AsyncMutex::default(),
            tasks: TaskTracker::new(),
        })
    }

    /// Takes no more messages for subscriptions that are not in `wanted`: called before routes change. What is being
    /// delivered goes on.
    pub fn release(&self, wanted: &HashSet<Subscription>) {
        self.running.lock().retain(|subscription, stop| {
            let stays = wanted.contains(subscription);
            if !stays {
                stop.cancel();
            }
            stays
        });
    }

    /// Makes `wanted` the whole of what is served: called after routes changed. Those that stay are not disturbed; a
    /// fan-out group that no subscription has any more goes.
    pub async fn follow(&self, wanted: HashSet<Subscription>) {
        let mut followed = self.followed.lock().await;
        self.release(&wanted);
        let groups = wanted.iter().map(|subscription| subscription.group.clone()).collect();
        let known = std::mem::replace(&mut *followed, groups);
        let gone: Vec<_> = known.difference(&followed).cloned().collect();
        for gone in gone {
            if matches!(gone.group, Group::FanOut { .. })
                && let Err(error) = self.backend.unsubscribe(&gone).await
            {
                tracing::warn!(%error, "End a fan-out group");
                // Tried again when routes change next.
                followed.insert(gone);
            }
        }
        for subscription in wanted {
            if self.running.lock().contains_key(&subscription) {
                continue;
            }
            // From here on the group gets what is published, even if its worker is late.
            if let Err(error) = self.backend.subscribe(&subscription.group).await {
                self.logs.platform(&subscription.target.scope, "error", "", format!("Subscribe: {error}"));
            }
            let stop = CancellationToken::new();
            self.running.lock().insert(subscription.clone(), stop.clone());
            let source = OfGroup {
                backend: Arc::clone(&self.backend),
                group: subscription.group,
                keep: subscription.dead_letter,
            };
            let (deliver, logs) = (Arc::clone(&self.deliver), Arc::clone(&self.logs));
            let pump = Pump { source, target: subscription.target, deliver, logs };
            self.tasks.spawn(pump.run(stop));
        }
    }

    /// Lets go of forgotten groups, until `stop`; then takes no more messages and waits for those in delivery.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            match self.backend.sweep().await {
                Ok(0) => {}
                Ok(gone) => tracing::warn!(gone, "Groups that nobody asked for in a day are gone"),
                Err(error) => tracing::warn!(%error, "Look for forgotten groups"),
            }
        }
        self.release(&HashSet::new());
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A group of the broker, as a pump sees it.
struct OfGroup {
    backend: Arc<dyn Backend>,
    group: GroupKey,
    keep: bool,
}

#[async_trait]
impl Source for OfGroup {
    type Token = Token;

    async fn claim(
        &self,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery<Token>>, Error> {
        let claim = Claim { max, lease, wait };
        let claimed = match self.backend.claim(&self.group, claim).await {
            Err(super::Error::Unknown) => {
                self.backend.subscribe(&self.group).await?;
                Vec::new()
            }
            claimed => claimed?,
        };
        Ok(claimed.into_iter().map(|claimed| self.delivery(claimed)).collect())
    }

    async fn ack(&self, tokens: Vec<Token>) -> Result<(), Error> {
        late(self.backend.ack(&self.group, &tokens).await)
    }

    async fn nack(&self, token: Token, delay: Duration) -> Result<(), Error> {
        late(self.backend.nack(&self.group, token, delay).await)
    }

    async fn unheard(&self, token: Token) -> Result<(), Error> {
        late(self.backend.release(&self.group, token).await)
    }

    async fn wanted(&self) -> Result<(), Error> {
        Ok(self.backend.subscribe(&self.group).await?)
    }

    async fn bury(&self, token: Token, reason: &str) -> Result<(), Error> {
        late(self.backend.bury(&self.group, token, reason, self.keep).await)
    }
}

/// A message whose lease ran out, or whose group is gone, is nobody's loss: it comes again, or was to go.
fn late<T>(settled: Result<T, super::Error>) -> Result<(), Error> {
    match settled {
        Ok(_) | Err(super::Error::Unknown) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl OfGroup {
    fn delivery(&self, claimed: Claimed) -> Delivery<Token> {
        let Claimed { token, message, attempt } = claimed;
        let mut metadata = message.headers.clone();
        let mut add = |key: &str, value: String| metadata.push((key.to_owned(), value));
        add("Micro-Topic", self.group.topic.topic().to_owned());
        add("Micro-Message-Id", message.id.clone());
        add("Micro-Delivery", attempt.to_string());
        if let Some(from) = &message.from {
            add("Micro-From-Service", from.clone());
        }
        Delivery {
            token,
            attempt,
            metadata,
            codec: message.codec,
            body: message.body.clone(),
            id: message.id.clone(),
            traceparent: message.traceparent.clone(),
        }
    }
}
