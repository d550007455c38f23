//! The rate limiter of the examples: of many calls at once, exactly as many pass as it says.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::{Options, Platform, eventually, http};
use serde_json::{Value, json};

async fn allow(platform: &Platform, key: &str, limit: u32, window_ms: u32) -> Result<Value> {
    let body = json!({"key": key, "limit": limit, "window_ms": window_ms});
    let request = http::client()?.post(platform.url("/limiter/allow")).json(&body);
    let answer = http::send(request).await?;
    ensure!(answer.status == 200, "{answer:?}");
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limiter_lets_as_many_pass_as_it_says() -> Result<()> {
    check(Vec::new()).await
}

/// The same with the store in Redis, where there is one.
#[tokio::test(flavor = "multi_thread")]
async fn the_limiter_lets_as_many_pass_as_it_says_on_redis() -> Result<()> {
    let Ok(server) = std::env::var("MICRO_TEST_REDIS") else { return Ok(()) };
    let prefix = format!("it-{}", std::process::id());
    check(vec![
        "--store=redis".to_owned(),
        format!("--store_address={server}"),
        format!("--store_prefix={prefix}"),
    ])
    .await
}

async fn check(flags: Vec<String>) -> Result<()> {
    let platform = Platform::start_with(Options { flags, ..Options::default() }).await?;
    let folder = platform.scratch().join("limiter");
    Guest::Example("limiter").place_example(&folder)?;
    platform.micro().ok(&["run", &folder.display().to_string()]).await?;

    let calls = (0..40).map(|_| allow(&platform, "jane", 15, 600_000));
    let answers = futures::future::join_all(calls).await.into_iter().collect::<Result<Vec<_>>>()?;
    let passed = answers.iter().filter(|answer| answer["allowed"] == true).count();
    ensure!(passed == 15, "{passed} passed: {answers:?}");
    let refused = answers.iter().find(|answer| answer["allowed"] != true).context("a refused one")?;
    ensure!(refused["retry_ms"].as_u64().is_some_and(|left| left > 0 && left <= 600_000), "{refused}");
    let stored = platform.micro().ok(&["store", "read", "--table", "limiter", "window/jane"]).await?;
    ensure!(stored.trim() == "40", "{stored}");

    ensure!(allow(&platform, "john", 1, 300).await?["allowed"] == true, "another key counts by itself");
    eventually("a new window begins", Duration::from_secs(10), async || {
        ensure!(allow(&platform, "john", 1, 300).await?["allowed"] == true);
        Ok(())
    })
    .await
}
