//! `broker.publish` to a topic with one group, whose bounds are far away; and messages in Redis that call a guest.

mod delivery;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use micro_api::name::Namespace;
use micro_capability::client::Codec;
use micro_capability::{Capabilities, broker};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::compare::{Case, Judge, compare};
use super::floor::Floor;
use super::looper::{Looper, Operation, object, scope};
use super::servers::{self, NAMESPACE};
use super::{KEYS, TOPIC, VALUE_BYTES};
use crate::Effort;
use crate::table::Row;

const CLOCK: &str = include_str!("../../../../host/capability/src/broker/redis/clock.lua");
const COMMON: &str = include_str!("../../../../host/capability/src/broker/redis/common.lua");
const PUBLISH: &str = include_str!("../../../../host/capability/src/broker/redis/publish.lua");
const PREFIX: &str = "bench-broker";
/// The floor's process, as the scripts know it.
const PROCESS: u64 = 60_000;
/// More messages and bytes than a run publishes: nobody has to empty the group meanwhile.
const MESSAGES_MAX: usize = 10_000_000;
const BYTES_MAX: usize = 8 << 30;
/// About what our broker counts for a message.
const MESSAGE_BYTES: usize = 512;

pub(super) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let memory: Arc<dyn broker::Backend> = Arc::new(broker::Memory::new(bounds()));
    let mut rows = on("memory", memory, channel(), 5_000, Judge::Embedded, effort).await?;
    let Some(url) = servers::redis_url() else { return Ok(rows) };
    let mut config = broker::RedisBrokerConfig { bounds: bounds(), ..broker::RedisBrokerConfig::new(&url) };
    PREFIX.clone_into(&mut config.server.prefix);
    let backend = broker::Redis::open(&config).await?;
    let server = servers::Redis::connect(&url, PREFIX).await?;
    let own: Arc<dyn broker::Backend> = backend.clone();
    let published = on("Redis", own, script(server.clone()), 500, Judge::Throughput, effort).await;
    let delivered = delivery::measure(backend, &server, effort).await;
    server.remove().await?;
    rows.extend(published.context("messages in Redis")?);
    rows.extend(delivered.context("deliveries from Redis")?);
    Ok(rows)
}

fn bounds() -> broker::MemoryConfig {
    broker::MemoryConfig {
        group_messages_max: MESSAGES_MAX,
        group_bytes_max: BYTES_MAX,
        namespace_bytes_max: BYTES_MAX,
        bytes_max: BYTES_MAX,
        ..broker::MemoryConfig::default()
    }
}

async fn on(
    name: &str,
    backend: Arc<dyn broker::Backend>,
    floor: Floor,
    count: u64,
    judge: Judge,
    effort: Effort,
) -> Result<Vec<Row>> {
    let topic = broker::TopicKey::new(&Namespace::default(), TOPIC)?;
    let group = broker::GroupKey { topic, group: broker::Group::of(&scope()?, None, "n1") };
    backend.subscribe(&group).await?;
    let looper = Looper::new(|capabilities| Capabilities { broker: backend, ..capabilities }).await?;
    let case = Case {
        what: format!("broker.publish in {name}"),
        operation: Operation { name: "broker.publish", keys: KEYS, bytes: VALUE_BYTES },
        count,
        floor_name: if judge == Judge::Embedded { "a channel alone" } else { "redis-rs alone" },
        floor,
        judge,
        allowed: None,
    };
    compare(&looper, &case, effort).await
}

/// The message itself through a channel of tokio.
fn channel() -> Floor {
    let (send, receive) = mpsc::unbounded_channel();
    let (receive, body) = (Arc::new(receive), Bytes::from(object(VALUE_BYTES)));
    Floor::new(move |_| {
        let (send, receive, body) = (send.clone(), Arc::clone(&receive), body.clone());
        async move {
            let message = broker::Message {
                id: Uuid::new_v4().to_string(),
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                // A guest's bytes are copied out of its memory; the floor's are made anew, too.
                body: Bytes::copy_from_slice(&body),
                codec: Codec::Json,
                from: None,
                traceparent: String::new(),
                published_ms: 0,
            };
            send.send(Arc::new(message)).map_err(|_| anyhow::anyhow!("nobody listens"))?;
            // Stays open, and as full as our queue.
            drop(receive);
            Ok(())
        }
    })
}

/// The script that our broker publishes by.
fn script(server: servers::Redis) -> Floor {
    let script = Arc::new(redis::Script::new(&[CLOCK, COMMON, PUBLISH].concat()));
    Floor::new(move |number| {
        let (server, script, body) = (server.clone(), Arc::clone(&script), object(VALUE_BYTES));
        async move {
            let id = Uuid::new_v4().to_string();
            let head = serde_json::json!({
                "id": id, "headers": [["content-type", "application/json"]], "is_json": true,
                "from": "looper", "traceparent": "", "published_ms": 1_700_000_000_000_u64,
            });
            let mut call = call(&script);
            call.arg(TOPIC).arg(id);
            call.arg(MESSAGE_BYTES).arg(head.to_string()).arg(body);
            call.arg(MESSAGES_MAX).arg(BYTES_MAX).arg(BYTES_MAX).arg(BYTES_MAX).arg(60_000).arg(10_000);
            let mut connection = server.connection(number)?;
            let (outcome, groups): (i64, String) = call.invoke_async(&mut connection).await?;
            ensure!(outcome == 0 && groups == "1", "a message was not published: {outcome}, {groups}");
            Ok(())
        }
    })
}

/// A script about the namespace, of a process with a number of its own.
fn call(script: &redis::Script) -> redis::ScriptInvocation<'_> {
    let mut call = script.prepare_invoke();
    for name in ["all", "spaces", "nodes", "fans", "{default}:groups", "{default}:recent"] {
        call.key(format!("{PREFIX}:broker:{name}"));
    }
    call.arg(format!("{PREFIX}:broker:")).arg(NAMESPACE).arg(PROCESS);
    call
}
