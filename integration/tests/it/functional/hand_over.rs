//! Two nodes on one PostgreSQL, one Redis and one bucket act as one, and when one is killed the other goes on.

mod jobs;
mod registry;
mod ticks;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use micro_integration::guest::Guest;
use micro_integration::{Bucket, Database, Micro, Options, Platform, eventually, http};
use serde_json::{Value, json};

/// How long anything else may take, on a machine that does much else.
const WITHIN: Duration = Duration::from_secs(60);
/// By then the work of a killed node is another one's.
const HAND_OVER: Duration = Duration::from_secs(10);
/// Messages and events of each of the two rounds.
const EACH: usize = 60;

struct Cluster {
    database: Database,
    bucket: Bucket,
    redis: String,
    prefix: String,
}

impl Cluster {
    fn create() -> Result<Option<Self>> {
        let Some((database, bucket)) = Database::create()?.zip(Bucket::create()?) else { return Ok(None) };
        let Ok(redis) = std::env::var("MICRO_TEST_REDIS") else { return Ok(None) };
        let prefix = format!("handover{}", bucket.name());
        Ok(Some(Self { database, bucket, redis, prefix }))
    }

    /// Only the first node opens the namespace to everybody: the rule is in the database.
    fn node(&self, closed: bool, more: &[&str]) -> Options {
        let mut flags = self.bucket.flags();
        flags.push(format!("--db={}", self.database.url()));
        flags.extend(["--store=postgres", "--sync=postgres", "--events=postgres"].map(str::to_owned));
        flags.push("--broker=redis".to_owned());
        flags.push(format!("--broker_address={}", self.redis));
        flags.push(format!("--broker_prefix={}", self.prefix));
        flags.push(format!("--artifacts={}", self.bucket.url("nodes")));
        flags.extend(more.iter().map(|&flag| flag.to_owned()));
        let mut env = self.bucket.env();
        let key = "6f1c".to_owned() + &"a39b02d7e4".repeat(6);
        env.push(("MICRO_MASTER_KEY".to_owned(), key));
        Options { flags, env, closed }
    }
}

/// By the control API, since a command takes long to start.
async fn post(node: &Platform, path: &str, body: &Value) -> Result<()> {
    let answer = http::send(node.owner()?.post(format!("http://localhost{path}")).json(body)).await?;
    ensure!(answer.status < 300, "{path}: {answer:?}");
    Ok(())
}

async fn order(node: &Platform, number: usize) -> Result<()> {
    let message = json!({"id": number.to_string(), "email": format!("{number}@example.com"), "item": "tea"});
    let order = json!({"topic": "orders.created", "message": message});
    post(node, "/v1/broker/publish", &order).await
}

async fn count_one(node: &Platform) -> Result<()> {
    let event = json!({"topic": "counter.changed", "message": {"name": "n", "by": 1}});
    post(node, "/v1/events/publish", &event).await
}

async fn asked(micro: &Micro, words: &[&str]) -> Result<Value> {
    serde_json::from_str(&micro.ok(words).await?).context("no JSON")
}

/// How many mails were sent, and how many events are counted.
async fn done(micro: &Micro) -> Result<(usize, usize)> {
    let sent = asked(micro, &["call", "mailer", "Mailer.Sent"]).await?;
    let count = asked(micro, &["call", "counter", "Counter.Get", r#"{"name": "n"}"#]).await?;
    let mails = sent["mails"].as_array().map_or(0, Vec::len);
    // 64-bit numbers of protobuf's JSON are strings.
    let events = count["events"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok((mails, events))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_nodes_work_is_the_other_ones_within_ten_seconds() -> Result<()> {
    let Some(cluster) = Cluster::create()? else { return Ok(()) };
    let mut first = Platform::start_with(cluster.node(false, &[])).await?;
    let second = Platform::start_with(cluster.node(true, &["--no_builder"])).await?;
    let (one, other) = (first.micro(), second.micro());
    for example in ["mailer", "counter"] {
        let folder = first.scratch().join(example);
        Guest::Example(example).place_example(&folder)?;
        one.ok(&["run", &folder.display().to_string()]).await?;
    }
    // The second node never built it, and has it from the bucket.
    eventually("the other node serves both", WITHIN, async || {
        ensure!(done(&other).await? == (0, 0));
        Ok(())
    })
    .await?;

    // Each is published at one node and handled at either, once.
    for number in 0..EACH {
        order(if number % 2 == 0 { &first } else { &second }, number).await?;
        count_one(if number % 2 == 0 { &second } else { &first }).await?;
    }
    eventually("all is handled", WITHIN, async || {
        let done = done(&one).await?;
        ensure!(done == (EACH, EACH), "{done:?}");
        Ok(())
    })
    .await?;

    // While the mailer refuses, messages are somebody's; then that somebody is gone. All at once, so that no message has
    // been refused often by then: the wait before its next try doubles each time, and is nobody's fault.
    one.ok(&["store", "write", "--table", "mailer", "paused", "yes"]).await?;
    let publishing = (EACH..2 * EACH).map(|number| {
        let first = &first;
        async move {
            order(first, number).await?;
            count_one(first).await
        }
    });
    try_join_all(publishing).await?;
    first.kill()?;
    let killed = Instant::now();
    other.ok(&["store", "delete", "--table", "mailer", "paused"]).await?;
    eventually("the other node does all that is left", WITHIN, async || {
        let done = done(&other).await?;
        ensure!(done == (2 * EACH, 2 * EACH), "{done:?}");
        Ok(())
    })
    .await?;
    let took = killed.elapsed();
    println!("handed over within {took:?}");
    ensure!(took < HAND_OVER, "it took {took:?}");

    // The node that comes back is one of two again.
    first.start_server().await?;
    order(&first, 2 * EACH).await?;
    eventually("a message after that", WITHIN, async || {
        ensure!(done(&other).await?.0 == 2 * EACH + 1);
        Ok(())
    })
    .await
}
