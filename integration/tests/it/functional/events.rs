//! Events: published by a guest and by command, pushed to those who consume them, given up, and replayed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::tenant::Tenant;
use micro_integration::{Micro, Options, Platform, eventually};
use serde_json::Value;

/// How long a delivery may take, on a machine that does much else.
const WITHIN: Duration = Duration::from_secs(20);
const TOPIC: &str = "counter.changed";

/// Runs the example `counter` under another name and with these lines of `[[consume]]`.
async fn counter(platform: &Platform, micro: &Micro, name: &str, lines: &str) -> Result<()> {
    let folder = platform.scratch().join(name);
    let manifest = format!(
        "[service]\nname = \"{name}\"\npublic = true\n[grants]\nstore = [\"own\"]\n\
         events = {{ publish = [\"counter.*\"] }}\n\
         [[consume]]\ntopic = \"{TOPIC}\"\nendpoint = \"Counter.Fold\"\n{lines}\n"
    );
    Guest::Example("counter").place(&folder, &manifest)?;
    micro.ok(&["run", &folder.display().to_string()]).await.map(drop)
}

async fn publish(micro: &Micro, name: &str, by: i64) -> Result<()> {
    let message = serde_json::json!({"name": name, "by": by}).to_string();
    micro.ok(&["events", "publish", TOPIC, &message]).await.map(drop)
}

/// A 64-bit number of protobuf's JSON is a string, and none when it is 0.
fn number(value: &Value) -> i64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.or_else(|| value.as_i64()).unwrap_or_default()
}

/// Value and events of a count.
async fn count(micro: &Micro, service: &str, name: &str) -> Result<(i64, i64)> {
    let wanted = serde_json::json!({"name": name}).to_string();
    let said: Value = serde_json::from_str(&micro.ok(&["call", service, "Counter.Get", &wanted]).await?)?;
    Ok((number(&said["value"]), number(&said["events"])))
}

async fn counted(micro: &Micro, service: &str, name: &str, wanted: (i64, i64)) -> Result<()> {
    eventually(&format!("{service} counts {wanted:?}"), WITHIN, async || {
        let count = count(micro, service, name).await?;
        ensure!(count == wanted, "{count:?}");
        Ok(())
    })
    .await
}

async fn json(micro: &Micro, words: &[&str]) -> Result<Value> {
    let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&micro.ok(&words).await?).context("no JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_pushed_and_counted() -> Result<()> {
    let platform = Platform::start().await?;
    let micro = platform.micro();
    let empty = micro.run(&["events", "read", TOPIC]).await?;
    ensure!(empty.code == 0 && empty.stdout.is_empty() && !empty.stderr.is_empty(), "{empty:?}");
    // Nobody consumes it yet: it is kept.
    publish(&micro, "visits", 2).await?;
    let folder = platform.scratch().join("counter");
    Guest::Example("counter").place_example(&folder)?;
    micro.ok(&["run", &folder.display().to_string()]).await?;
    counted(&micro, "counter", "visits", (2, 1)).await?;
    let listed = micro.ok(&["list", "services", "--topics"]).await?;
    ensure!(listed.contains("counter\n  topic:counter.changed\n"), "{listed}");
    let said = micro.ok(&["call", "counter", "Counter.Add", r#"{"name": "visits", "by": 3}"#]).await?;
    let id = serde_json::from_str::<Value>(&said)?["id"].as_str().context("an id")?.to_owned();
    counted(&micro, "counter", "visits", (5, 2)).await?;

    let read = json(&micro, &["events", "read", TOPIC, "--after", "1"]).await?;
    ensure!(read[0]["id"] == id.as_str() && read[0]["position"] == 2, "{read}");
    let table = micro.ok(&["events", "read", TOPIC]).await?;
    ensure!(table.starts_with("POSITION") && table.contains(&id), "{table}");
    let groups = json(&micro, &["events", "groups", TOPIC]).await?;
    ensure!(groups[0]["group"] == "counter" && groups[0]["cursor"] == 2, "{groups}");
    ensure!(groups[0]["behind"] == 0, "{groups}");

    // A new group begins at the start, or where it is told.
    counter(&platform, &micro, "again", "").await?;
    counter(&platform, &micro, "later", "offset = \"end\"").await?;
    counted(&micro, "again", "visits", (5, 2)).await?;
    publish(&micro, "visits", -1).await?;
    for (service, wanted) in [("counter", (4, 3)), ("again", (4, 3)), ("later", (-1, 1))] {
        counted(&micro, service, "visits", wanted).await?;
    }
    ensure!(micro.fails(&["events", "publish", TOPIC]).await?.contains("require topic and message"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_a_dead_letter_and_the_rest_is_counted() -> Result<()> {
    let platform = Platform::start().await?;
    let micro = platform.micro();
    counter(&platform, &micro, "counter", "retries = 0").await?;
    // No name: it is no good, whatever is tried.
    publish(&micro, "", 1).await?;
    publish(&micro, "visits", 1).await?;
    counted(&micro, "counter", "visits", (1, 1)).await?;
    let dead = eventually("a dead letter", WITHIN, async || {
        let dead = json(&micro, &["events", "dead", TOPIC]).await?;
        ensure!(dead.as_array().is_some_and(|dead| dead.len() == 1), "{dead}");
        Ok(dead)
    })
    .await?;
    let metadata = &dead[0]["metadata"];
    ensure!(metadata["Micro-Dead-Group"] == "counter" && metadata["Micro-Dead-Attempts"] == "1", "{dead}");
    let reason = metadata["Micro-Dead-Reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("name has 1 to 128 bytes"), "{dead}");
    let table = micro.ok(&["events", "dead", TOPIC]).await?;
    ensure!(table.contains("counter") && table.contains("name has 1 to 128 bytes"), "{table}");
    let refused = micro.fails(&["events", "publish", "counter.changed.dead", "{}"]).await?;
    ensure!(refused.contains("nobody else publishes"), "{refused}");
    eventually("the log tells", WITHIN, async || {
        let log = micro.ok(&["logs", "counter"]).await?;
        ensure!(log.contains("Counter.Fold failed for the message"), "{log}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_group_replays_what_a_service_that_was_stopped_missed() -> Result<()> {
    let platform = Platform::start().await?;
    let micro = platform.micro();
    counter(&platform, &micro, "counter", "").await?;
    publish(&micro, "visits", 1).await?;
    counted(&micro, "counter", "visits", (1, 1)).await?;
    micro.ok(&["kill", "counter"]).await?;
    publish(&micro, "visits", 1).await?;
    let groups = json(&micro, &["events", "groups", TOPIC]).await?;
    ensure!(groups[0]["cursor"] == 1 && groups[0]["behind"] == 1, "{groups}");
    // Its place was kept.
    counter(&platform, &micro, "counter", "").await?;
    counted(&micro, "counter", "visits", (2, 2)).await?;
    // Under another name of the group all comes again, and the counter knows what it has.
    counter(&platform, &micro, "copy", "group = \"rebuild\"").await?;
    counted(&micro, "copy", "visits", (2, 2)).await?;
    let groups = json(&micro, &["events", "groups", TOPIC]).await?;
    ensure!(groups[0]["group"] == "counter" && groups[1]["group"] == "rebuild", "{groups}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_sees_nothing() -> Result<()> {
    let platform = Platform::start_with(Options { closed: true, ..Options::default() }).await?;
    let (ann, bob) = (Tenant::sign_up(&platform, "ann").await?, Tenant::sign_up(&platform, "bob").await?);
    for tenant in [&ann, &bob] {
        counter(&platform, &tenant.micro, "counter", "").await?;
    }
    publish(&ann.micro, "secret", 7).await?;
    publish(&ann.micro, "", 7).await?;
    counted(&ann.micro, "counter", "secret", (7, 1)).await?;
    eventually("Ann's dead letter", WITHIN, async || {
        let dead = json(&ann.micro, &["events", "dead", TOPIC]).await?;
        ensure!(dead[0]["position"] == 1, "{dead}");
        Ok(())
    })
    .await?;
    for words in [["events", "read", TOPIC], ["events", "dead", TOPIC], ["events", "groups", TOPIC]] {
        let seen = json(&bob.micro, &words).await?;
        ensure!(seen == serde_json::json!([]), "{words:?}: {seen}");
    }
    ensure!(count(&bob.micro, "counter", "secret").await? == (0, 0), "an event crossed over");
    // His own topic of the same name begins with its own first event.
    publish(&bob.micro, "own", 1).await?;
    counted(&bob.micro, "counter", "own", (1, 1)).await?;
    let seen = json(&bob.micro, &["events", "read", TOPIC]).await?;
    ensure!(seen[0]["position"] == 1 && seen[1].is_null(), "{seen}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_places_outlive_the_server() -> Result<()> {
    let mut platform = Platform::start().await?;
    counter(&platform, &platform.micro(), "counter", "").await?;
    publish(&platform.micro(), "visits", 1).await?;
    counted(&platform.micro(), "counter", "visits", (1, 1)).await?;
    platform.stop().await?;
    platform.start_server().await?;
    let micro = platform.micro();
    publish(&micro, "visits", 1).await?;
    counted(&micro, "counter", "visits", (2, 2)).await?;
    let read = json(&micro, &["events", "read", TOPIC]).await?;
    ensure!(read[1]["position"] == 2 && read[2].is_null(), "{read}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_without_an_endpoint_is_refused_when_it_is_built() -> Result<()> {
    let platform = Platform::start().await?;
    let micro = platform.micro();
    let folder = platform.scratch().join("wrong");
    let manifest = "[service]\nname = \"wrong\"\n[grants]\nstore = [\"own\"]\nevents = { publish = [\"*\"] }\n\
                    [[consume]]\ntopic = \"a\"\nendpoint = \"Counter.Sum\"\n";
    Guest::Example("counter").place(&folder, manifest)?;
    let refused = micro.fails(&["run", &folder.display().to_string()]).await?;
    ensure!(refused.contains("[[consume]] of the topic `a` names the endpoint `Counter.Sum`"), "{refused}");
    Ok(())
}
