//! Messages between services: published by a guest and by command, delivered, tried again, given up, sent again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::tenant::Tenant;
use micro_integration::{Micro, Options, Platform, eventually, http};
use serde_json::Value;

/// How long a delivery may take, on a machine that does much else.
const WITHIN: Duration = Duration::from_secs(20);

/// Runs the example `mailer` under another name and with these lines of `[[subscribe]]`.
async fn mailer(platform: &Platform, micro: &Micro, name: &str, lines: &str) -> Result<()> {
    let folder = platform.scratch().join(name);
    let manifest = format!(
        "[service]\nname = \"{name}\"\npublic = true\n[grants]\nstore = [\"own\"]\n\
         [[subscribe]]\ntopic = \"orders.created\"\nendpoint = \"Mailer.Send\"\n{lines}\n"
    );
    Guest::Example("mailer").place(&folder, &manifest)?;
    micro.ok(&["run", &folder.display().to_string()]).await.map(drop)
}

async fn order(micro: &Micro, id: &str, email: &str) -> Result<()> {
    let message = serde_json::json!({"id": id, "email": email, "item": "tea"}).to_string();
    let said = micro.ok(&["publish", "orders.created", &message]).await?;
    ensure!(said == "ok\n", "{said}");
    Ok(())
}

async fn mails(micro: &Micro, service: &str) -> Result<Vec<Value>> {
    let said: Value = serde_json::from_str(&micro.ok(&["call", service, "Mailer.Sent"]).await?)?;
    Ok(said["mails"].as_array().cloned().unwrap_or_default())
}

/// Waits until `service` has sent so many mails.
async fn sent(micro: &Micro, service: &str, count: usize) -> Result<Vec<Value>> {
    eventually(&format!("{count} mails by {service}"), WITHIN, async || {
        let mails = mails(micro, service).await?;
        ensure!(mails.len() == count, "{mails:?}");
        Ok(mails)
    })
    .await
}

async fn json(micro: &Micro, words: &[&str]) -> Result<Value> {
    let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&micro.ok(&words).await?).context("no JSON")
}

/// The only group, once it is as described.
async fn group(micro: &Micro, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
    eventually(what, WITHIN, async || {
        let groups = json(micro, &["broker", "groups"]).await?;
        let group = groups[0].clone();
        ensure!(is(&group), "{groups}");
        Ok(group)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_publishes_and_another_one_hears_it() -> Result<()> {
    let platform = Platform::start().await?;
    let micro = platform.micro();
    let empty = micro.run(&["broker", "groups"]).await?;
    ensure!(empty.code == 0 && empty.stdout.is_empty() && !empty.stderr.is_empty(), "{empty:?}");
    // Nobody subscribed: the message is dropped, and that is no error.
    order(&micro, "0", "early@example.com").await?;

    for example in ["orders", "mailer"] {
        let folder = platform.scratch().join(example);
        Guest::Example(example).place_example(&folder)?;
        micro.ok(&["run", &folder.display().to_string()]).await?;
    }
    let said =
        micro.ok(&["call", "orders", "Orders.Create", r#"{"email": "jane@example.com", "item": "tea"}"#]);
    let order_id = serde_json::from_str::<Value>(&said.await?)?["id"].as_str().context("an id")?.to_owned();
    ensure!(!order_id.is_empty());
    let mail = sent(&micro, "mailer", 1).await?.remove(0);
    ensure!(mail["to"] == "jane@example.com" && mail["text"] == "Thank you for ordering tea", "{mail}");
    ensure!(mail["delivery"] == 1, "{mail}");

    // The registry shows who listens.
    let service = micro.ok(&["get", "service", "mailer"]).await?;
    ensure!(service.contains("subscriber=true") && service.contains("topic=orders.created"), "{service}");
    let listed = micro.ok(&["list", "services", "--topics"]).await?;
    ensure!(listed.contains("mailer\n  topic:orders.created\n"), "{listed}");
    let group = group(&micro, "delivered", |group| group["delivered"] == 1).await?;
    ensure!(group["topic"] == "orders.created" && group["queue"] == "mailer", "{group}");
    let table = micro.ok(&["broker", "groups"]).await?;
    ensure!(table.starts_with("TOPIC") && table.contains("mailer"), "{table}");
    let metrics = http::send(http::client()?.get(format!("http://{}/metrics", platform.health()))).await?;
    let line = "micro_broker_delivered_total{namespace=\"default\",topic=\"orders.created\"} 1\n";
    ensure!(metrics.body.contains(line), "{}", metrics.body);

    let refused = micro.fails(&["publish", "orders.created"]).await?;
    ensure!(refused.contains("require topic and message e.g micro publish event '{\"hello\": \"world\"}'"));
    ensure!(micro.fails(&["publish", "orders created", "{}"]).await?.contains("a topic has"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_of_the_code_subscribe_and_schedule() -> Result<()> {
    let platform = Platform::start().await?;
    let micro = platform.micro();
    let folder = platform.scratch().join("notifier");
    Guest::Example("notifier").place_example(&folder)?;
    micro.ok(&["run", &folder.display().to_string()]).await?;
    let service = micro.ok(&["get", "service", "notifier"]).await?;
    ensure!(service.contains("subscriber=true") && service.contains("topic=orders.created"), "{service}");
    order(&micro, "1", "jane@example.com").await?;
    let group = group(&micro, "delivered", |group| group["delivered"] == 1).await?;
    ensure!(group["topic"] == "orders.created" && group["queue"] == "notifier", "{group}");
    let said: Value = serde_json::from_str(&micro.ok(&["call", "notifier", "Notifier.Pending"]).await?)?;
    ensure!(said["items"] == serde_json::json!(["tea"]), "{said}");
    let jobs = json(&micro, &["jobs", "list", "notifier"]).await?;
    ensure!(jobs[0]["name"] == "digest" && jobs[0]["endpoint"] == "Notifier.Digest", "{jobs}");
    ensure!(jobs[0]["zone"] == "Europe/Berlin" && jobs[0]["cron"] == "0 7 * * *", "{jobs}");

    // An unchanged source is not built again, and says the same.
    micro.ok(&["update", &folder.display().to_string()]).await?;
    ensure!(json(&micro, &["jobs", "list", "notifier"]).await? != serde_json::json!([]));

    // What micro.toml says too is a mistake, and so is an endpoint that is not there.
    for (name, lines, wanted) in [
        (
            "twice",
            "[[subscribe]]\ntopic = \"orders.created\"\nqueue = \"notifier\"\nendpoint = \"Notifier.OrderCreated\"\n",
            "micro.toml and attributes of the code together: `orders.created` is subscribed twice with one queue",
        ),
        (
            "name",
            "[[schedule]]\nname = \"digest\"\ncron = \"@daily\"\nendpoint = \"Notifier.Digest\"\n",
            "two schedules have the name `digest`",
        ),
    ] {
        let folder = platform.scratch().join(name);
        let manifest = format!("[service]\nname = \"{name}\"\n[grants]\nstore = [\"own\"]\n{lines}");
        Guest::Example("notifier").place(&folder, &manifest)?;
        let refused = micro.fails(&["run", &folder.display().to_string()]).await?;
        ensure!(refused.contains(wanted), "{refused}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_and_what_is_given_up_can_be_sent_again() -> Result<()> {
    let platform = Platform::start().await?;
    let micro = platform.micro();
    mailer(&platform, &micro, "mailer", "retries = 2\ndelay = \"50ms\"").await?;

    // Every try fails while it is paused.
    micro.ok(&["store", "write", "--table", "mailer", "paused", "yes"]).await?;
    order(&micro, "1", "jane@example.com").await?;
    group(&micro, "given up after three tries", |group| group["dead"] == 1 && group["failed"] == 3).await?;
    let dead = json(&micro, &["broker", "dead"]).await?;
    ensure!(dead[0]["error"].as_str().is_some_and(|error| error.contains("503 mailer: paused")), "{dead}");
    ensure!(dead[0]["attempts"] == 3 && dead[0]["topic"] == "orders.created", "{dead}");
    eventually("the log tells", WITHIN, async || {
        let log = micro.ok(&["logs", "mailer"]).await?;
        ensure!(log.contains("Mailer.Send failed for the message"), "{log}");
        Ok(())
    })
    .await?;

    // What is no good is given up at once.
    order(&micro, "2", "nobody").await?;
    group(&micro, "refused", |group| group["dead"] == 2 && group["failed"] == 4).await?;
    ensure!(mails(&micro, "mailer").await?.is_empty());

    micro.ok(&["store", "delete", "--table", "mailer", "paused"]).await?;
    let id = dead[0]["id"].as_str().context("an id")?;
    let said = micro.ok(&["broker", "redrive", id]).await?;
    ensure!(said == "1 message sent again\n", "{said}");
    let mail = sent(&micro, "mailer", 1).await?.remove(0);
    ensure!(mail["to"] == "jane@example.com", "{mail}");
    ensure!(micro.fails(&["broker", "discard"]).await?.contains("which messages?"));
    let said = micro.ok(&["broker", "discard", "--all"]).await?;
    ensure!(said == "1 message deleted\n", "{said}");
    ensure!(json(&micro, &["broker", "dead"]).await? == serde_json::json!([]));

    // A try that fails once succeeds later, and the subscriber sees which one it is.
    let folder = platform.scratch().join("patient");
    let manifest = "[service]\nname = \"mailer\"\npublic = true\n[grants]\nstore = [\"own\"]\n[[subscribe]]\n\
                    topic = \"orders.created\"\nendpoint = \"Mailer.Send\"\nretries = 100\ndelay = \"20ms\"\n";
    Guest::Example("mailer").place(&folder, manifest)?;
    micro.ok(&["update", &folder.display().to_string()]).await?;
    micro.ok(&["store", "write", "--table", "mailer", "paused", "yes"]).await?;
    order(&micro, "3", "joe@example.com").await?;
    group(&micro, "tried", |group| group["failed"].as_u64() > Some(4)).await?;
    micro.ok(&["store", "delete", "--table", "mailer", "paused"]).await?;
    let mails = sent(&micro, "mailer", 2).await?;
    let late = mails.iter().find(|mail| mail["to"] == "joe@example.com").context("a mail to joe")?;
    ensure!(late["delivery"].as_u64() >= Some(2), "{late}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_shares_messages_and_fan_out_gives_each_its_own() -> Result<()> {
    let platform = Platform::start().await?;
    let micro = platform.micro();
    mailer(&platform, &micro, "one", "queue = \"mail\"").await?;
    mailer(&platform, &micro, "two", "queue = \"mail\"").await?;
    mailer(&platform, &micro, "audit", "queue = \"\"\nconcurrency = 4").await?;
    mailer(&platform, &micro, "own", "concurrency = 4").await?;
    for number in 0..10 {
        order(&micro, &number.to_string(), "jane@example.com").await?;
    }
    sent(&micro, "audit", 10).await?;
    sent(&micro, "own", 10).await?;
    eventually("ten mails by both", WITHIN, async || {
        let (one, two) = (mails(&micro, "one").await?.len(), mails(&micro, "two").await?.len());
        ensure!(one + two == 10, "{one} and {two}");
        Ok(())
    })
    .await?;
    let groups = json(&micro, &["broker", "groups"]).await?;
    let queues: Vec<_> = groups.as_array().context("groups")?.iter().map(|group| &group["queue"]).collect();
    ensure!(queues == ["mail", "own", ""], "{groups}");

    // A fan-out group goes with its service; a queue keeps what comes until it is back.
    micro.ok(&["kill", "audit"]).await?;
    micro.ok(&["kill", "own"]).await?;
    order(&micro, "10", "jane@example.com").await?;
    let groups = json(&micro, &["broker", "groups"]).await?;
    let own = groups.as_array().context("groups")?.iter().find(|group| group["queue"] == "own");
    ensure!(own.is_some_and(|own| own["waiting"] == 1), "{groups}");
    ensure!(groups.as_array().is_some_and(|groups| groups.len() == 2), "{groups}");
    mailer(&platform, &micro, "own", "").await?;
    sent(&micro, "own", 11).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_hears_nothing() -> Result<()> {
    let platform = Platform::start_with(Options { closed: true, ..Options::default() }).await?;
    let (ann, bob) = (Tenant::sign_up(&platform, "ann").await?, Tenant::sign_up(&platform, "bob").await?);
    // Not public: messages reach it all the same.
    for tenant in [&ann, &bob] {
        let folder = platform.scratch().join(format!("of-{}", tenant.namespace));
        let manifest = "[service]\nname = \"mailer\"\n[grants]\nstore = [\"own\"]\n[[subscribe]]\n\
                        topic = \"orders.created\"\nendpoint = \"Mailer.Send\"\nretries = 0\n";
        Guest::Example("mailer").place(&folder, manifest)?;
        tenant.micro.ok(&["run", &folder.display().to_string()]).await?;
    }
    order(&ann.micro, "1", "secret@example.com").await?;
    order(&ann.micro, "2", "secret-address").await?;
    sent(&ann.micro, "mailer", 1).await?;
    group(&ann.micro, "refused", |group| group["dead"] == 1).await?;
    ensure!(mails(&bob.micro, "mailer").await?.is_empty(), "a message crossed over");
    let groups = json(&bob.micro, &["broker", "groups"]).await?;
    ensure!(groups[0]["delivered"] == 0 && groups[0]["dead"] == 0, "{groups}");
    ensure!(json(&bob.micro, &["broker", "dead"]).await? == serde_json::json!([]));
    let id = json(&ann.micro, &["broker", "dead"]).await?[0]["id"].as_str().context("an id")?.to_owned();
    for words in [["broker", "redrive", &id], ["broker", "discard", &id]] {
        let said = bob.micro.ok(&words).await?;
        ensure!(said.starts_with("0 messages"), "{said}");
    }
    group(&ann.micro, "untouched", |group| group["dead"] == 1).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_to_no_endpoint_is_refused_when_it_is_built() -> Result<()> {
    let platform = Platform::start().await?;
    let folder = platform.scratch().join("wrong");
    let manifest = "[service]\nname = \"wrong\"\n[grants]\nstore = [\"own\"]\n[[subscribe]]\n\
                    topic = \"orders.created\"\nendpoint = \"Mailer.Receive\"\n";
    Guest::Example("mailer").place(&folder, manifest)?;
    let refused = platform.micro().fails(&["run", &folder.display().to_string()]).await?;
    ensure!(refused.contains("names the endpoint `Mailer.Receive`"), "{refused}");
    ensure!(refused.contains("it has Mailer.Send, Mailer.Sent"), "{refused}");
    Ok(())
}
