//! The bucket of artifacts goes away and comes back: what runs goes on, and what is deployed meanwhile is refused.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::{Bucket, Line, Options, Platform, Repo, eventually};

/// How long a call may be told nothing about a bucket that refuses it.
const TOLD_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take after that.
const WITHIN: Duration = Duration::from_secs(60);
const AWAY: &str = "the platform's bucket cannot be reached: try again";

/// A folder with a service of this name.
fn folder(platform: &Platform, name: &str) -> Result<String> {
    let folder = platform.scratch().join(name);
    // Another source each, so that nothing of it was built before.
    let manifest = format!("[service]\nname = \"{name}\"\n[run]\nenv = {{ NAME = \"{name}\" }}\n");
    Guest::HttpP2.place(&folder, &manifest)?;
    Ok(folder.display().to_string())
}

async fn serves(platform: &Platform, name: &str) -> Result<()> {
    let answer = platform.get(&format!("/{name}/hello")).await?;
    ensure!(answer.status == 200 && answer.body == "hello", "{name}: {answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_goes_away_stops_deployments_and_nothing_else() -> Result<()> {
    let Some(bucket) = Bucket::create()? else { return Ok(()) };
    let mut line = Line::to(bucket.host()).await?;
    let far = bucket.by(line.address());
    let flags = vec![format!("--artifacts={}", far.url("outage"))];
    let platform = Platform::start_with(Options { flags, env: far.env(), ..Options::default() }).await?;
    let micro = platform.micro();
    micro.ok(&["run", &folder(&platform, "before")?]).await?;
    serves(&platform, "before").await?;

    line.close().await;
    serves(&platform, "before").await?;
    // An upload is refused before anything is built of it.
    let since = Instant::now();
    let during = folder(&platform, "during")?;
    let refused = micro.fails(&["run", &during]).await?;
    ensure!(refused.contains(AWAY), "{refused}");
    // Of a repository nothing is uploaded: what is built cannot be kept.
    let repo = Repo::with_folder(&platform.scratch().join("repo"), during.as_ref())?;
    let refused = micro.fails(&["run", "--name", "cloned", &repo.url()]).await?;
    ensure!(refused.contains(AWAY), "{refused}");
    println!("both were refused within {:?}", since.elapsed());
    ensure!(since.elapsed() < 2 * TOLD_WITHIN, "{:?}", since.elapsed());
    for _ in 0..20 {
        serves(&platform, "before").await?;
    }

    line.open().await?;
    eventually("services are deployed again", WITHIN, async || {
        micro.ok(&["run", &during]).await?;
        Ok(())
    })
    .await?;
    serves(&platform, "during").await?;
    micro.ok(&["run", "--name", "cloned", &repo.url()]).await?;
    serves(&platform, "cloned").await?;
    serves(&platform, "before").await
}
