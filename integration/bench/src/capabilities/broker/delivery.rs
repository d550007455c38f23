//! Messages of a queue in Redis that call a guest: as a `[[subscribe]]` does it, and by the scripts alone.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use micro_api::name::Namespace;
use micro_capability::broker::{
    self, Backend as _, Broker, Deliver, Group, GroupKey, Subscription, TopicKey,
};
use micro_capability::client::Codec;
use micro_capability::log::{Logs, LogsConfig};
use redis::Script;
use uuid::Uuid;

use super::{CLOCK, COMMON, PROCESS, call};
use crate::Effort;
use crate::capabilities::VALUE_BYTES;
use crate::capabilities::compare::{CONCURRENCIES, Judge, count};
use crate::capabilities::delivery::{DELIVERED, Heard, Source, delivered, target};
use crate::capabilities::looper::{Looper, object};
use crate::capabilities::servers::Redis;
use crate::table::{Pairs, Row};

const CLAIM: &str = include_str!("../../../../../host/capability/src/broker/redis/claim.lua");
const ACK: &str = include_str!("../../../../../host/capability/src/broker/redis/ack.lua");
const TOPIC: &str = "delivered";
const QUEUE: &str = "q";
/// As the scripts name that group.
const MEMBER: &str = "delivered/q/71";
/// Numbers that a process gives its claims.
const CLAIMS: u64 = 1 << 37;

pub(super) async fn measure(backend: Arc<broker::Redis>, server: &Redis, effort: Effort) -> Result<Vec<Row>> {
    let key = GroupKey {
        topic: TopicKey::new(&Namespace::default(), TOPIC)?,
        group: Group::Queue(QUEUE.to_owned()),
    };
    backend.subscribe(&key).await?;
    let looper = Arc::new(Looper::new(|capabilities| capabilities).await?);
    let claims = AtomicU64::new(PROCESS * CLAIMS);
    let mut rows = Vec::new();
    for concurrency in CONCURRENCIES {
        let mut pairs = Pairs::default();
        for _ in 0..effort.turns {
            let each = count(DELIVERED, effort);
            publish(&backend, &key.topic, each).await?;
            let ours = pushed(&backend, &key, &looper, each, concurrency).await?;
            publish(&backend, &key.topic, each).await?;
            let script = |own: &str| Script::new(&[CLOCK, COMMON, own].concat());
            let queue = Queue {
                server: server.clone(),
                claim: script(CLAIM),
                ack: script(ACK),
                max: concurrency,
                claims: AtomicU64::new(claims.fetch_add(each, Ordering::Relaxed)),
            };
            let floor = delivered(Arc::new(queue), &looper, each).await?;
            Judge::Throughput.note(&mut pairs, ours, floor);
        }
        let what = format!("broker: delivery in Redis, {concurrency} at once");
        rows.push(Judge::Throughput.row(pairs, what, "redis-rs alone and the call"));
    }
    Ok(rows)
}

/// Before anybody looks at the clock.
async fn publish(backend: &broker::Redis, topic: &TopicKey, messages: u64) -> Result<()> {
    let body = Bytes::from(object(VALUE_BYTES));
    for _ in 0..messages {
        let message = broker::Message {
            id: Uuid::new_v4().to_string(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.clone(),
            codec: Codec::Json,
            from: None,
            traceparent: String::new(),
            published_ms: 0,
        };
        ensure!(backend.publish(topic, message).await? == 1, "a message found no group");
    }
    Ok(())
}

/// Seconds of a message that is delivered by us.
async fn pushed(
    backend: &Arc<broker::Redis>,
    key: &GroupKey,
    looper: &Arc<Looper>,
    messages: u64,
    concurrency: u64,
) -> Result<f64> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let logs = Logs::open(LogsConfig::new(folder.path().to_owned()))?;
    let heard = Heard::new(looper, messages);
    let own = Arc::clone(backend) as Arc<dyn broker::Backend>;
    let broker = Broker::new(own, Arc::clone(&heard) as Arc<dyn Deliver>, logs);
    let subscription = Subscription {
        deployment: "bench".to_owned(),
        group: key.clone(),
        target: target(concurrency)?,
        dead_letter: true,
    };
    let since = Instant::now();
    broker.follow(HashSet::from([subscription])).await;
    heard.all().await?;
    let took = since.elapsed();
    broker.follow(HashSet::new()).await;
    // The last acknowledgements: what is not done yet would be the floor's next messages.
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let groups = backend.groups(&Namespace::default()).await?;
        let left = groups.iter().find(|group| group.key == *key).map_or(0, |group| group.bytes);
        if left == 0 {
            return Ok(took.as_secs_f64() / messages as f64);
        }
        ensure!(Instant::now() < until, "messages were not acknowledged");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The queue, as the floor sees it.
struct Queue {
    server: Redis,
    claim: Script,
    ack: Script,
    max: u64,
    claims: AtomicU64,
}

/// What came back unanswered, when to look again, and of each message its number, tries, head and body.
type Found = (u64, i64, Vec<(u64, u32, Vec<u8>, Vec<u8>)>);

#[async_trait]
impl Source for Queue {
    /// The message's number, and that of its claim.
    type Token = (u64, u64);

    async fn take(&self) -> Result<Vec<Self::Token>> {
        let number = self.claims.fetch_add(1, Ordering::Relaxed);
        let mut call = call(&self.claim);
        call.arg(MEMBER).arg(number).arg(self.max).arg(605_000).arg(8 << 20);
        let found: Option<Found> = call.invoke_async(&mut self.server.connection(number)?).await?;
        let (_, _, rows) = found.context("there is no such group")?;
        Ok(rows.into_iter().map(|(message, ..)| (message, number)).collect())
    }

    async fn ack(&self, (message, claim): Self::Token) -> Result<()> {
        let mut call = call(&self.ack);
        call.arg(MEMBER).arg(message).arg(claim);
        let done: i64 = call.invoke_async(&mut self.server.connection(message)?).await?;
        ensure!(done == 1, "a message was not claimed");
        Ok(())
    }
}
