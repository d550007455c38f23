//! Locks that two servers share: what a service holds at one of them, nobody takes at the other. The servers have nothing
//! else in common, so that nothing else can be what they agree by.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use micro_integration::guest::{ALL_GRANTS, Guest};
use micro_integration::{Database, Options, Platform, eventually, http};
use serde_json::{Value, json};

/// How long a restarted server may take to serve again.
const WITHIN: Duration = Duration::from_secs(30);

/// A server with a service that locks what it is asked to.
async fn server(flags: &[String]) -> Result<Platform> {
    let platform = Platform::start_with(Options { flags: flags.to_vec(), ..Options::default() }).await?;
    let folder = platform.scratch().join("prober");
    let manifest =
        format!("[service]\nname = \"prober\"\npublic = true\n[grants]\n{ALL_GRANTS}config = [\"own\"]\n");
    Guest::Prober.place(&folder, &manifest)?;
    platform.micro().ok(&["run", &folder.display().to_string()]).await?;
    Ok(platform)
}

async fn probe(platform: &Platform, import: &str, lock: &str, id: &str) -> Result<String> {
    let body = json!({"import": import, "name": lock, "namespace": id});
    let answer = platform.post("/prober/probe", &body.to_string()).await?;
    ensure!(answer.status == 200, "{import} {lock}: {answer:?}");
    Ok(answer.json()?["said"].as_str().unwrap_or_default().to_owned())
}

async fn answers(platform: &Platform) -> Result<()> {
    let ready = http::client()?.get(format!("http://{}/readyz", platform.health())).send().await?;
    let checks: Value = ready.json().await?;
    let sync = checks.as_array().and_then(|checks| checks.iter().find(|check| check["name"] == "sync"));
    ensure!(sync.is_some_and(|sync| sync["ok"] == true), "{checks}");
    Ok(())
}

async fn are_shared(flags: Vec<String>) -> Result<()> {
    let (mut first, second) = (server(&flags).await?, server(&flags).await?);
    answers(&first).await?;
    answers(&second).await?;

    // Who leads at one leads at both.
    let led = probe(&first, "locks.lead", "election", "the-first").await?;
    ensure!(led == "true", "{led}");
    for platform in [&first, &second] {
        let leader = probe(platform, "locks.leader", "election", "").await?;
        ensure!(leader.contains("the-first"), "{leader}");
        for taking in ["locks.acquire", "locks.campaign", "locks.lead"] {
            let refused = probe(platform, taking, "election", "another").await?;
            ensure!(refused.starts_with("408") && refused.contains("lock timeout"), "{taking}: {refused}");
        }
    }
    // Another lock is free at both, one after the other.
    for platform in [&second, &first, &second] {
        let taken = probe(platform, "locks.acquire", "another", "").await?;
        ensure!(taken == "true", "{taken}");
    }
    let guessed = probe(&second, "locks.release", "election", "").await?;
    ensure!(guessed == "false", "{guessed}");

    // At once from both: taken or not, and never anything else.
    let platforms = [&first, &second].into_iter().cycle().take(40);
    let said = join_all(platforms.map(|platform| probe(platform, "locks.acquire", "contended", ""))).await;
    let said = said.into_iter().collect::<Result<Vec<_>>>()?;
    let taken = said.iter().filter(|said| *said == "true").count();
    let refused = said.iter().filter(|said| said.starts_with("408")).count();
    ensure!(taken > 0 && taken + refused == said.len(), "{said:?}");

    // A server that is killed takes no lock along.
    first.kill()?;
    let leader = probe(&second, "locks.leader", "election", "").await?;
    ensure!(leader.contains("the-first"), "{leader}");
    let refused = probe(&second, "locks.acquire", "election", "").await?;
    ensure!(refused.starts_with("408"), "{refused}");
    first.start_server().await?;
    eventually("the first serves again", WITHIN, async || {
        let leader = probe(&first, "locks.leader", "election", "").await?;
        ensure!(leader.contains("the-first"), "{leader}");
        Ok(())
    })
    .await
    .context("a restarted server knows who leads")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_share_locks_on_postgres() -> Result<()> {
    let Some(database) = Database::create()? else { return Ok(()) };
    are_shared(vec!["--sync=postgres".to_owned(), format!("--sync_address={}", database.url())]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_share_locks_on_redis() -> Result<()> {
    let Ok(server) = std::env::var("MICRO_TEST_REDIS") else { return Ok(()) };
    let prefix = format!("it-locks-{}", std::process::id());
    are_shared(vec![
        "--sync=redis".to_owned(),
        format!("--sync_address={server}"),
        format!("--sync_prefix={prefix}"),
    ])
    .await
}
