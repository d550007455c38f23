//! The log below a prefix of Redis by redis-rs alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use micro_capability::events::{GROUPS_MAX, PENDING_MAX, READ_BYTES_MAX, TOPICS_MAX};
use redis::{FromRedisValue, Script, ScriptInvocation};
use uuid::Uuid;

use super::native::{ACK_WAIT_MS, AGE_MS, KEPT_BYTES, METADATA, Native, SILENCE, Terms, size};
use crate::capabilities::floor::Floor;
use crate::capabilities::looper::{mixed, object};
use crate::capabilities::servers::{NAMESPACE, Redis};
use crate::capabilities::{TOPIC, VALUE_BYTES};

const CONSUMES: &str = "#!lua flags=allow-oom\n";
const CLOCK: &str = include_str!("../../../../../host/capability/src/events/redis/clock.lua");
const COMMON: &str = include_str!("../../../../../host/capability/src/events/redis/common.lua");
const APPEND: &str = include_str!("../../../../../host/capability/src/events/redis/append.lua");
const READ: &str = include_str!("../../../../../host/capability/src/events/redis/read.lua");
const TAKE: &str = include_str!("../../../../../host/capability/src/events/redis/take.lua");
const ACK: &str = include_str!("../../../../../host/capability/src/events/redis/ack.lua");
/// What `append` leaves for events with the positions from one to another, in far fewer calls.
const FILL: &str = "
local topic, from, to, metadata, payload, size = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7]
local at = text(now)
for first = from, to, 500 do
    local ids, places = {}, {}
    for number = first, math.min(first + 499, to) do
        local position, id = text(number), string.format('%032x', number)
        redis.call('XADD', of('log', topic), position .. '-0', 'i', id, 't', at, 's', size, 'm', metadata, 'p', payload)
        table.insert(ids, id)
        table.insert(ids, position .. ' ' .. at)
        table.insert(places, table.concat({ topic, position, id, size, at }, ' '))
    end
    redis.call('HSET', of('ids', topic), unpack(ids))
    redis.call('RPUSH', order, unpack(places))
end
redis.call('HSET', base .. 'last', topic, text(to))
redis.call('HINCRBY', state, 'held', text((to - from + 1) * tonumber(size)))
redis.call('HSET', state, 'newest', at)
return 0
";
/// Events of one such call.
const TOGETHER: u64 = 5_000;

/// Events as columns: positions, ids, times, metadata, payloads.
type Columns = (Vec<u64>, Vec<String>, Vec<u64>, Vec<String>, Vec<Vec<u8>>);
/// What came of it, events, their attempts, and what was buried.
type Taken = (i64, Columns, Vec<u32>, Vec<String>, Vec<u32>);

/// See the module.
pub(super) struct Log {
    server: Redis,
    node: String,
    /// Calls that were made: each goes over the next connection.
    calls: AtomicU64,
    take: Script,
    ack: Script,
}

impl Log {
    pub(super) fn new(server: Redis) -> Self {
        Self {
            server,
            node: id(Uuid::new_v4()),
            calls: AtomicU64::new(0),
            take: Script::new(&[CONSUMES, CLOCK, COMMON, TAKE].concat()),
            ack: script(ACK),
        }
    }

    async fn make<T: FromRedisValue>(&self, call: ScriptInvocation<'_>) -> Result<T> {
        let mut connection = self.server.connection(self.calls.fetch_add(1, Ordering::Relaxed))?;
        Ok(call.invoke_async(&mut connection).await?)
    }
}

fn script(own: &str) -> Script {
    Script::new(&[CLOCK, COMMON, own].concat())
}

fn id(id: Uuid) -> String {
    id.simple().to_string()
}

/// A script about the topic.
fn call<'a>(script: &'a Script, server: &Redis) -> ScriptInvocation<'a> {
    let prefix = &server.prefix;
    let mut call = script.key(format!("{prefix}:events:{{{NAMESPACE}}}:"));
    call.key(format!("{prefix}:events:node:")).key(format!("{prefix}:events:told"));
    call.key(format!("{prefix}:events:spaces")).arg(NAMESPACE).arg(TOPIC);
    call
}

#[async_trait]
impl Native for Log {
    fn append(&self) -> Floor {
        let (server, script) = (self.server.clone(), Arc::new(script(APPEND)));
        Floor::new(move |number| {
            let (server, script, payload) = (server.clone(), Arc::clone(&script), object(VALUE_BYTES));
            async move {
                let mut call = call(&script, &server);
                call.arg(TOPICS_MAX).arg(AGE_MS).arg(KEPT_BYTES).arg(id(Uuid::new_v4())).arg(METADATA);
                call.arg(payload).arg(size());
                let mut connection = server.connection(number)?;
                let (state, positions, _): (i64, Vec<u64>, Vec<u64>) =
                    call.invoke_async(&mut connection).await?;
                ensure!(state == 0 && positions.len() == 1, "an event was not appended");
                Ok(())
            }
        })
    }

    fn read(&self, events: u64) -> Floor {
        let (server, script) = (self.server.clone(), Arc::new(script(READ)));
        Floor::new(move |number| {
            let (server, script) = (server.clone(), Arc::clone(&script));
            async move {
                let mut call = call(&script, &server);
                call.arg("after").arg(mixed(number, events)).arg(1).arg(AGE_MS).arg(READ_BYTES_MAX);
                let mut connection = server.connection(number)?;
                let (_, columns): (u64, Columns) = call.invoke_async(&mut connection).await?;
                ensure!(!columns.0.is_empty(), "an event is missing");
                Ok(())
            }
        })
    }

    async fn take(&self, terms: &Terms) -> Result<Vec<Uuid>> {
        let mut call = call(&self.take, &self.server);
        call.arg(&terms.group).arg(&self.node).arg(5_000).arg(id(Uuid::new_v4()));
        call.arg(terms.max).arg(ACK_WAIT_MS).arg(0).arg(terms.max).arg("after").arg(terms.after);
        call.arg(AGE_MS).arg(KEPT_BYTES).arg(GROUPS_MAX).arg(PENDING_MAX).arg(READ_BYTES_MAX);
        call.arg(format!("\"{SILENCE}\"")).arg(60_000);
        let (_, columns, ..): Taken = self.make(call).await?;
        columns.1.iter().map(|id| Uuid::try_parse(id).context("an event's id")).collect()
    }

    async fn ack(&self, group: &str, event: Uuid) -> Result<()> {
        let mut call = call(&self.ack, &self.server);
        call.arg(group).arg(id(event));
        let done: i64 = self.make(call).await?;
        ensure!(done == 1, "an event was not pending");
        Ok(())
    }

    async fn fill(&self, events: u64) -> Result<()> {
        let (fill, mut first) = (script(FILL), 2);
        while first <= events {
            let last = events.min(first + TOGETHER - 1);
            let mut call = call(&fill, &self.server);
            call.arg(first).arg(last).arg(METADATA).arg(object(VALUE_BYTES)).arg(size());
            self.make::<i64>(call).await.context("fill the topic")?;
            first = last + 1;
        }
        Ok(())
    }
}
