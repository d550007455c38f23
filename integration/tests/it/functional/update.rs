//! Updates under load: no request notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::{Platform, effort, http, load};

/// How long the load lasts in an ordinary run.
const BRIEF: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_versions_change() -> Result<()> {
    let (platform, duration) = (Platform::start().await?, effort::load(BRIEF)?);
    let folder = platform.scratch().join("steady");
    let manifest =
        |number: u32| format!("[service]\nname = \"steady\"\n[run]\nenv = {{ NUMBER = \"{number}\" }}\n");
    Guest::HttpP2.place(&folder, &manifest(0))?;
    let micro = platform.micro();
    let source = folder.display().to_string();
    micro.ok(&["run", &source]).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let (client, url) = (http::client()?, platform.url("/steady/hello"));
    let work = load::closed(4, Arc::clone(&stop), move || {
        let request = client.get(&url);
        async move {
            let answer = http::send(request).await?;
            ensure!(answer.status == 200 && answer.body == "hello", "{} {}", answer.status, answer.body);
            Ok(())
        }
    });
    let work = tokio::spawn(work);
    let started = Instant::now();
    let mut updates = 0;
    while started.elapsed() < duration {
        let next = Instant::now() + Duration::from_secs(2);
        updates += 1;
        Guest::HttpP2.place(&folder, &manifest(updates))?;
        micro.ok(&["update", &source]).await?;
        tokio::time::sleep_until(next.into()).await;
    }
    stop.store(true, Ordering::Relaxed);
    let report = work.await.context("the load")??;
    println!("{updates} updates, {} requests answered, {} failed", report.answered, report.failed);
    ensure!(report.failed == 0, "{} of {} failed: {:?}", report.failed, report.answered, report.samples);
    ensure!(updates >= 3 && report.answered > 500, "{updates} updates, {} requests", report.answered);
    Ok(())
}
