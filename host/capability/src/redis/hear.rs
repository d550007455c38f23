//! Hearing what is published: one connection that only listens, and is made again when it broke.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::PubSub;
use ::redis::{RedisResult, Value};
use futures::StreamExt as _;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::failure::failed;
use super::{ANSWERS_WITHIN, Failure, Redis};

/// Where nothing is heard for so long, the connection is asked whether it still is one.
const ASKED_AFTER_SILENCE: Duration = Duration::from_secs(5);
/// Between two attempts to listen.
const AGAIN: Duration = Duration::from_millis(500);

/// What whoever listens is told.
#[derive(Debug)]
pub(crate) enum Heard<'a> {
    /// A message.
    Message(&'a [u8]),
    /// It listens from now on; what was published before may have been missed.
    Begins,
}

/// Hears what is published until it is dropped.
#[derive(Debug)]
pub(crate) struct Hearing {
    _task: AbortOnDropHandle<()>,
}

impl Redis {
    /// Listens to a channel, on a connection of its own beside those of the calls. Where that cannot be, it says so once
    /// by `tracing` and goes on trying. `heard` must not wait for anything.
    pub(crate) fn hear(
        self: &Arc<Self>,
        channel: String,
        heard: impl Fn(Heard<'_>) + Send + Sync + 'static,
    ) -> Hearing {
        let redis = Arc::clone(self);
        let task = tokio::spawn(async move {
            let mut failing = false;
            loop {
                let began = redis.subscribe(&channel).await;
                let ended = match began {
                    Ok(connection) => {
                        failing = false;
                        heard(Heard::Begins);
                        pass_on(connection, &heard).await
                    }
                    Err(failure) => failure,
                };
                if !failing {
                    tracing::warn!(%ended, channel, "Nothing is heard from Redis for now");
                }
                failing = true;
                sleep(AGAIN).await;
            }
        });
        Hearing { _task: AbortOnDropHandle::new(task) }
    }

    async fn subscribe(&self, channel: &str) -> Result<PubSub, Failure> {
        within(self.acquire_timeout, async {
            let mut connection = self.client.get_async_pubsub().await?;
            connection.subscribe(channel).await?;
            Ok(connection)
        })
        .await
    }
}

/// Passes on what is heard, until the connection breaks; why it did.
async fn pass_on(connection: PubSub, heard: &impl Fn(Heard<'_>)) -> Failure {
    let (mut sink, mut messages) = connection.split();
    loop {
        match timeout(ASKED_AFTER_SILENCE, messages.next()).await {
            Ok(Some(message)) => heard(Heard::Message(message.get_payload_bytes())),
            Ok(None) => return Failure::Away("the connection broke".to_owned()),
            Err(_) => {
                if let Err(failure) = within(ANSWERS_WITHIN, sink.ping::<Value>()).await {
                    return failure;
                }
            }
        }
    }
}

async fn within<T>(time: Duration, call: impl Future<Output = RedisResult<T>>) -> Result<T, Failure> {
    match timeout(time, call).await {
        Ok(done) => done.map_err(|error| failed(&error)),
        Err(_) => Err(Failure::Away(format!("no answer within {time:?}"))),
    }
}
