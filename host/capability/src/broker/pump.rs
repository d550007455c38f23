//! Delivery: from a source of messages to calls of an endpoint, a bounded number at once.
//!
//! The source need not be the broker: all that the pump knows of it is [`Source`].

mod acks;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use micro_api::Error;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Scope;
use crate::client::Codec;
use crate::log::Logs;
use acks::Acks;

/// How long one look for messages waits; then the source is asked again, which also says that it is wanted.
const LOOK: Duration = Duration::from_secs(10);
/// The pause after the source failed.
const PAUSE: Duration = Duration::from_secs(1);
/// A lease lasts so much longer than an answer may take, so that no message that is answered in time comes twice.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// Longest wait before a message is tried again.
const DELAY_MAX: Duration = Duration::from_secs(3_600);

/// A message on its way, as its source names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<T> {
    /// Names it to the source.
    pub token: T,
    /// From 1.
    pub attempt: u32,
    /// All that the callee sees as metadata.
    pub metadata: Vec<(String, String)>,
    /// How the body is encoded.
    pub codec: Codec,
    /// The request.
    pub body: Bytes,
    /// The message's id; it is the call's, too.
    pub id: String,
    /// W3C `traceparent`; may be empty.
    pub traceparent: String,
}

/// Where a pump takes messages from. Each one is claimed again unless it is settled within its lease.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Names a message while it is delivered.
    type Token: Send + Sync + Clone + 'static;

    /// At most `max` messages, waiting up to `wait` for a first one. Dropping the future loses nothing.
    async fn claim(
        &self,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery<Self::Token>>, Error>;
    /// The messages are done.
    async fn ack(&self, tokens: Vec<Self::Token>) -> Result<(), Error>;
    /// The message is to be delivered again, after `delay`.
    async fn nack(&self, token: Self::Token, delay: Duration) -> Result<(), Error>;
    /// Nobody heard the message: it is delivered again, and this delivery does not count.
    async fn unheard(&self, token: Self::Token) -> Result<(), Error>;
    /// Says that messages are still wanted, while none is claimed for long.
    async fn wanted(&self) -> Result<(), Error>;
    /// The message is given up.
    async fn bury(&self, token: Self::Token, reason: &str) -> Result<(), Error>;
}

/// Who gets the messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The version that subscribed.
    pub scope: Scope,
    /// `Service.Method` of it.
    pub endpoint: String,
    /// Deliveries at once.
    pub concurrency: usize,
    /// Deliveries after the first.
    pub retries: u32,
    /// How long an answer may take.
    pub ack_wait: Duration,
    /// The wait before the second delivery; it doubles with each further one, up to an hour.
    pub delay: Duration,
}

/// One call of the platform's own.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which version of which service.
    pub scope: Scope,
    /// `Service.Method`.
    pub endpoint: String,
    /// How the request is encoded.
    pub codec: Codec,
    /// The request.
    pub request: Bytes,
    /// What the callee sees.
    pub metadata: Vec<(String, String)>,
    /// When the call must be over.
    pub deadline: Instant,
    /// W3C `traceparent`; may be empty.
    pub traceparent: String,
    /// Errors and log lines carry it.
    pub request_id: String,
}

/// Why a call has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Undelivered {
    /// Nobody was called, and that is no failure: a budget of the namespace is used up.
    #[error("{0}")]
    Waits(Error),
    /// The callee's own error, or the platform's: 404 for an unknown endpoint, 408 past the deadline, 503 while nobody
    /// can be called.
    #[error("{0}")]
    Failed(Error),
}

impl From<Error> for Undelivered {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Calls a service on the platform's behalf; implemented by the gateway. The call is of no account: no rule is asked. It
/// counts as a request of the month.
#[async_trait]
pub trait Deliver: Send + Sync + 'static {
    /// Whether the namespace may be called now. Asked before messages are taken, so that they wait where they are.
    ///
    /// # Errors
    /// The budget that is used up, for people.
    fn ready(&self, scope: &Scope) -> Result<(), Error>;

    /// Waits for the answer.
    ///
    /// # Errors
    /// When there is none.
    async fn deliver(&self, call: Call) -> Result<Bytes, Undelivered>;
}

/// One subscriber's workers.
pub struct Pump<S> {
    /// Where messages come from.
    pub source: S,
    /// Where they go.
    pub target: Target,
    /// How they get there.
    pub deliver: Arc<dyn Deliver>,
    /// Where tries that failed are noted, for the service's author.
    pub logs: Arc<Logs>,
}

impl<S> std::fmt::Debug for Pump<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pump").field("target", &self.target).finish_non_exhaustive()
    }
}

impl<S: Source> Pump<S> {
    /// Delivers until `stop`; returns when what was claimed until then is settled.
    pub async fn run(self, stop: CancellationToken) {
        let (pump, acks) = (Arc::new(self), Arc::new(Acks::new()));
        let free = Arc::new(Semaphore::new(pump.target.concurrency.max(1)));
        let tasks = TaskTracker::new();
        let mut failing = false;
        loop {
            // Only this loop takes permits, so those that are free now stay so until it takes them.
            let looked = async {
                let first = Arc::clone(&free).acquire_owned().await;
                if pump.target.concurrency > 1 {
                    // Those that are done with this one are about to give back theirs: one look then serves them all.
                    tokio::task::yield_now().await;
                }
                pump.ready().await;
                let max = 1 + free.available_permits();
                let lease = pump.target.ack_wait + LEASE_MARGIN;
                (first, pump.source.claim(max, lease, LOOK).await)
            };
            let (first, claimed) = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                looked = looked => looked,
            };
            let claimed = match claimed {
                Ok(claimed) => {
                    failing = false;
                    claimed
                }
                Err(error) => {
                    // Once, and not every second.
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(target = ?pump.target.scope, %error, "Look for messages");
                    }
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(PAUSE) => continue,
                    }
                }
            };
            let mut permit = first.ok();
            for delivery in claimed {
                if pump.target.concurrency <= 1 {
                    // Nothing goes on beside it, so it needs no task of its own, nor a thread that has to wake up for one.
                    // A panic is told where it happens, and ends this delivery alone.
                    let handled = AssertUnwindSafe(pump.handle(delivery, &acks, &stop)).catch_unwind();
                    drop(handled.await);
                    continue;
                }
                let permit = permit.take().or_else(|| Arc::clone(&free).try_acquire_owned().ok());
                let (pump, acks, stop) = (Arc::clone(&pump), Arc::clone(&acks), stop.clone());
                tasks.spawn(async move {
                    pump.handle(delivery, &acks, &stop).await;
                    drop(permit);
                });
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Waits until the namespace may be called.
    async fn ready(&self) {
        let mut looks = 0_u64;
        while let Err(error) = self.deliver.ready(&self.target.scope) {
            // Not at the first look: a budget may only be counted anew just now.
            if looks == 1 {
                let line = format!("What {} is called for waits: {}", self.target.endpoint, error.detail);
                self.logs.platform(&self.target.scope, "warn", "", line);
            }
            // A month may be long, and a group that nobody asks for is forgotten.
            if looks.is_multiple_of(LOOK.as_secs() / PAUSE.as_secs())
                && let Err(error) = self.source.wanted().await
            {
                tracing::debug!(target = ?self.target.scope, %error, "Say that messages are wanted");
            }
            looks += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn handle(&self, delivery: Delivery<S::Token>, acks: &Acks<S::Token>, stop: &CancellationToken) {
        let Delivery { token, attempt, metadata, codec, body, id, traceparent } = delivery;
        let deadline = Instant::now() + self.target.ack_wait;
        let call = Call {
            scope: self.target.scope.clone(),
            endpoint: self.target.endpoint.clone(),
            codec,
            request: body,
            metadata,
            deadline,
            traceparent,
            request_id: id.clone(),
        };
        let answer = match tokio::time::timeout_at(deadline.into(), self.deliver.deliver(call)).await {
            Ok(answer) => answer.map(drop),
            Err(_) => {
                let service = self.target.scope.service.to_string();
                Err(Undelivered::Failed(Error::timeout(service, "no answer within ack_wait")))
            }
        };
        let settled = match answer {
            Ok(()) => acks.ack(&self.source, token).await,
            // There was a request less than messages were taken: the rest waits.
            Err(Undelivered::Waits(_)) => self.source.unheard(token).await,
            Err(Undelivered::Failed(error)) => self.failed(token, attempt, &id, &error, stop).await,
        };
        if let Err(error) = settled {
            tracing::warn!(target = ?self.target.scope, %error, "Settle a message: it is delivered again");
        }
    }

    async fn failed(
        &self,
        token: S::Token,
        attempt: u32,
        id: &str,
        error: &Error,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        // Whoever subscribes next may well know the endpoint that is gone here.
        if stop.is_cancelled() && error.code != 408 && !may_repeat(error) {
            return self.source.nack(token, Duration::ZERO).await;
        }
        let again = may_repeat(error) && attempt <= self.target.retries;
        let then = if again { "it is delivered again" } else { "it is given up" };
        let line = format!(
            "{} failed for the message {id} (delivery {attempt}): {} {}: {then}",
            self.target.endpoint, error.code, error.detail
        );
        self.logs.platform(&self.target.scope, "error", id, line);
        if again {
            return self.source.nack(token, backoff(self.target.delay, attempt)).await;
        }
        self.source.bury(token, &format!("{} {}: {}", error.code, error.id, error.detail)).await
    }
}

/// Whether the same message may fare better later. 4xx means that the message itself is no good.
fn may_repeat(error: &Error) -> bool {
    !matches!(error.code, 400..=499) || matches!(error.code, 408 | 429)
}

/// The wait after the try `attempt`, from 1.
fn backoff(delay: Duration, attempt: u32) -> Duration {
    let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    delay.saturating_mul(doubled).min(DELAY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let second = Duration::from_secs(1);
        assert_eq!([1, 2, 3, 4].map(|attempt| backoff(second, attempt).as_secs()), [1, 2, 4, 8]);
        assert_eq!(backoff(second, 90), DELAY_MAX);
        assert_eq!(backoff(Duration::ZERO, 3), Duration::ZERO);
    }

    #[test]
    fn what_the_message_is_to_blame_for_is_not_repeated() {
        let repeats = |code| may_repeat(&Error::new("x", code, "y"));
        assert!([408, 429, 500, 503, 0, 504].into_iter().all(repeats));
        assert!(![400, 401, 403, 404, 409, 413, 422].into_iter().any(repeats));
    }
}
