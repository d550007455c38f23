//! A good service beside a bad one: the latency that its callers see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::{Options, Platform, http, load};

use crate::Effort;
use crate::table::{Goal, Pairs, Row, seconds};

const RATE: u32 = 200;
const IN_FLIGHT_MAX: u64 = 2_000;
const BAD_LOOPS: usize = 8;

/// What the bad neighbour is asked to do; `hello` is a service that is only busy.
const ENDPOINTS: &[&str] = &[
    "hello", "loop", "burst", "allocate", "flood", "log", "recurse", "trap", "sleep", "block", "huge",
    "outbound", "calls", "tables",
];

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let options = Options { flags: vec!["--allow_loopback".to_owned()], ..Options::default() };
    let platform = Platform::start_with(options).await?;
    for (guest, name) in [(Guest::HttpP2, "good"), (Guest::Example("bad-neighbour"), "bad-neighbour")] {
        let folder = platform.scratch().join(name);
        guest.place_example(&folder)?;
        platform.micro().ok(&["run", &folder.display().to_string()]).await?;
    }
    let mut rows = Vec::new();
    for endpoint in ENDPOINTS {
        rows.push(beside(&platform, endpoint, effort).await.with_context(|| (*endpoint).to_owned())?);
    }
    Ok(rows)
}

async fn beside(platform: &Platform, endpoint: &str, effort: Effort) -> Result<Row> {
    let mut pairs = Pairs::default();
    for _ in 0..effort.turns.div_ceil(2) {
        let a = good(platform, effort).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let (client, url) = (http::client()?, platform.url(&format!("/bad-neighbour/{endpoint}")));
        let noise = load::closed(BAD_LOOPS, Arc::clone(&stop), move || {
            let request = client.post(&url).header("content-type", "application/json").body("{}");
            async move { http::send(request).await.map(drop) }
        });
        let noise = tokio::spawn(noise);
        let b = good(platform, effort).await;
        stop.store(true, Ordering::Relaxed);
        noise.await.context("the bad neighbour's load")??;
        pairs.push(b?.as_secs_f64(), a.as_secs_f64());
    }
    let what = format!("good service at {RATE} req/s beside {BAD_LOOPS} loops of `{endpoint}`, p99");
    Ok(pairs.row(what, "alone", seconds, Goal::AtMost(1.5)))
}

async fn good(platform: &Platform, effort: Effort) -> Result<Duration> {
    let (client, url) = (http::client()?, platform.url("/good/hello"));
    let report = load::open(RATE, Duration::from_secs(effort.seconds), IN_FLIGHT_MAX, move || {
        let request = client.get(&url);
        async move {
            let answer = http::send(request).await?;
            ensure!(answer.status == 200, "{answer:?}");
            Ok(())
        }
    })
    .await?;
    ensure!(report.failed == 0, "{} requests failed: {:?}", report.failed, report.samples);
    Ok(report.p99())
}
