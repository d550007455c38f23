//! Two servers on one Redis: a queue is theirs together, and fan-out gives each its own.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::{Micro, Options, Platform, eventually, http};
use serde_json::{Value, json};

/// How long a delivery may take, on a machine that does much else.
const WITHIN: Duration = Duration::from_secs(30);

async fn server(redis: &str) -> Result<Platform> {
    let flags = vec![
        "--broker=redis".to_owned(),
        format!("--broker_address={redis}"),
        format!("--broker_prefix=it-broker-{}", std::process::id()),
    ];
    Platform::start_with(Options { flags, ..Options::default() }).await
}

/// Runs the example `mailer` under another name and with these lines of `[[subscribe]]`.
async fn mailer(platform: &Platform, name: &str, lines: &str) -> Result<()> {
    let folder = platform.scratch().join(name);
    let manifest = format!(
        "[service]\nname = \"{name}\"\npublic = true\n[grants]\nstore = [\"own\"]\n\
         [[subscribe]]\ntopic = \"orders.created\"\nendpoint = \"Mailer.Send\"\n{lines}\n"
    );
    Guest::Example("mailer").place(&folder, &manifest)?;
    platform.micro().ok(&["run", &folder.display().to_string()]).await.map(drop)
}

async fn order(micro: &Micro, number: usize) -> Result<()> {
    let message = json!({"id": number.to_string(), "email": format!("n{number}@example.com"), "item": "tea"});
    let said = micro.ok(&["publish", "orders.created", &message.to_string()]).await?;
    ensure!(said == "ok\n", "{said}");
    Ok(())
}

/// Whom a service of this server has mailed.
async fn mailed(platform: &Platform, service: &str) -> Result<BTreeSet<String>> {
    let said: Value = serde_json::from_str(&platform.micro().ok(&["call", service, "Mailer.Sent"]).await?)?;
    let mails = said["mails"].as_array().cloned().unwrap_or_default();
    mails.iter().map(|mail| mail["to"].as_str().map(str::to_owned).context("an address")).collect()
}

fn addresses(numbers: std::ops::Range<usize>) -> BTreeSet<String> {
    numbers.map(|number| format!("n{number}@example.com")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_publishes_a_queue_of_both_handles_once() -> Result<()> {
    const ORDERS: usize = 20;
    let Ok(redis) = std::env::var("MICRO_TEST_REDIS") else { return Ok(()) };
    let (first, mut second) = (server(&redis).await?, server(&redis).await?);
    for platform in [&first, &second] {
        mailer(platform, "mailer", "").await?;
        mailer(platform, "audit", "queue = \"\"").await?;
    }
    let ready = http::client()?.get(format!("http://{}/readyz", second.health())).send().await?;
    let checks: Value = ready.json().await?;
    let broker = checks.as_array().and_then(|checks| checks.iter().find(|check| check["name"] == "broker"));
    ensure!(broker.is_some_and(|broker| broker["ok"] == true), "{checks}");
    let groups: Value = serde_json::from_str(&second.micro().ok(&["broker", "groups", "--json"]).await?)?;
    let queues = groups.as_array().context("groups")?.iter().map(|group| group["queue"].as_str());
    ensure!(queues.collect::<Vec<_>>() == [Some("mailer"), Some(""), Some("")], "{groups}");

    for number in 0..ORDERS {
        order(&first.micro(), number).await?;
    }
    eventually("a mail for each by one of the servers", WITHIN, async || {
        let (here, there) = (mailed(&first, "mailer").await?, mailed(&second, "mailer").await?);
        ensure!(here.is_disjoint(&there), "both have {:?}", here.intersection(&there));
        ensure!(&here | &there == addresses(0..ORDERS), "{here:?} and {there:?}");
        let groups: Value = serde_json::from_str(&first.micro().ok(&["broker", "groups", "--json"]).await?)?;
        ensure!(groups[0]["delivered"] == ORDERS && groups[0]["failed"] == 0, "{groups}");
        Ok(())
    })
    .await?;
    for platform in [&first, &second] {
        eventually("a mail for each by fan-out", WITHIN, async || {
            let audit = mailed(platform, "audit").await?;
            ensure!(audit == addresses(0..ORDERS), "{audit:?}");
            Ok(())
        })
        .await?;
    }

    // What is published while one is gone, the other handles; the fan-out group of the dead one goes.
    let before = mailed(&first, "mailer").await?;
    second.kill()?;
    for number in ORDERS..ORDERS + 5 {
        order(&first.micro(), number).await?;
    }
    eventually("the other handles the rest", WITHIN, async || {
        let mailed = mailed(&first, "mailer").await?;
        ensure!(mailed == &before | &addresses(ORDERS..ORDERS + 5), "{mailed:?}");
        let groups: Value = serde_json::from_str(&first.micro().ok(&["broker", "groups", "--json"]).await?)?;
        ensure!(groups.as_array().is_some_and(|groups| groups.len() == 2), "{groups}");
        Ok(())
    })
    .await
}
