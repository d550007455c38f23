//! A bad neighbour in eight closed loops an endpoint: the host lives, each limit shows in its log by its name, and the
//! good service answers every request of a steady rate. How much later it answers is what the benchmark measures.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::repo::checkout;
use micro_integration::{Options, Platform, http, load};

const LOOPS: usize = 8;
const RATE: u32 = 200;

/// An endpoint, its request, the limit that its log must name, and the text for a fault that is no limit.
const CASES: &[(&str, &str, &[&str])] = &[
    ("loop", "{}", &["limit: cpu"]),
    ("burst", "{}", &[]),
    ("allocate", "{}", &["limit: memory"]),
    ("flood", "{}", &["limit: stdout"]),
    ("log", "{}", &["limit: log"]),
    ("recurse", "{}", &["limit: stack"]),
    ("trap", "{}", &["the neighbour panics"]),
    ("sleep", "{}", &["limit: wall"]),
    ("block", "{}", &["limit: wall"]),
    ("huge", "{}", &["limit: response", "limit: memory"]),
    ("overflow", "{}", &["limit: response", "limit: memory"]),
    ("outbound", "{}", &["limit: outbound"]),
    ("calls", "{}", &[]),
    ("tables", "{}", &["limit: table"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_of_the_bad_neighbour_is_held() -> Result<()> {
    let options = Options { flags: vec!["--allow_loopback".to_owned()], ..Options::default() };
    let platform = Platform::start_with(options).await?;
    let manifest = fs::read_to_string(checkout("examples/bad-neighbour/micro.toml"))?;
    // Eight endless loops share what cores there are: each must have used its CPU time before its wall time is over.
    // And whoever takes memory must have taken all of it, page by page, before its CPU time is over.
    let manifest = format!("{manifest}\n[limits]\ncpu = \"200ms\"\nmemory = \"32MiB\"\n");
    for (guest, name, manifest) in
        [(Guest::HttpP2, "good", ""), (Guest::Example("bad-neighbour"), "bad-neighbour", &manifest)]
    {
        let folder = platform.scratch().join(name);
        guest.place(&folder, manifest)?;
        platform.micro().ok(&["run", &folder.display().to_string()]).await?;
    }
    let server = platform.pid();
    let alone = good(&platform).await?;
    let mut wrong = Vec::new();
    for (endpoint, body, limits) in CASES {
        let beside = beside(&platform, endpoint, body).await.with_context(|| (*endpoint).to_owned())?;
        println!("{endpoint}: p99 beside {beside:?}, alone {alone:?}");
        if !limits.is_empty() && !is_named(&platform, endpoint, body, limits).await? {
            wrong.push(format!("{endpoint}: the log names none of {limits:?}"));
        }
    }
    ensure!(platform.pid() == server && platform.get("/good/hello").await?.status == 200, "the host died");
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// Whether the log names one of `limits`. Eight loops write more than a log keeps, and the platform's own lines have a
/// rate too: what the noise has pushed out is said again for a call that is alone.
async fn is_named(platform: &Platform, endpoint: &str, body: &'static str, limits: &[&str]) -> Result<bool> {
    const CALLS: usize = 5;
    let (client, url) = (http::client()?, platform.url(&format!("/bad-neighbour/{endpoint}")));
    for _ in 0..CALLS {
        let logs = platform.micro().ok(&["logs", "-n", "2000", "bad-neighbour"]).await?;
        if limits.iter().any(|limit| logs.contains(limit)) {
            return Ok(true);
        }
        http::send(client.post(&url).header("content-type", "application/json").body(body)).await?;
    }
    Ok(false)
}

/// The good service's p99, for the eye, while the bad one is called in loops.
async fn beside(platform: &Platform, endpoint: &str, body: &'static str) -> Result<Duration> {
    let stop = Arc::new(AtomicBool::new(false));
    let (client, url) = (http::client()?, platform.url(&format!("/bad-neighbour/{endpoint}")));
    let noise = load::closed(LOOPS, Arc::clone(&stop), move || {
        let request = client.post(&url).header("content-type", "application/json").body(body);
        async move { http::send(request).await.map(drop) }
    });
    let noise = tokio::spawn(noise);
    let beside = good(platform).await;
    stop.store(true, Ordering::Relaxed);
    let report = noise.await.context("the bad neighbour's load")??;
    ensure!(report.failed == 0, "the gateway gave no answer: {:?}", report.samples);
    beside
}

/// Asks the good service at a steady rate, and wants an answer to each request.
async fn good(platform: &Platform) -> Result<Duration> {
    let (client, url) = (http::client()?, platform.url("/good/hello"));
    let report = load::open(RATE, Duration::from_secs(4), 2_000, move || {
        let request = client.get(&url);
        async move {
            let answer = http::send(request).await?;
            ensure!(answer.status == 200, "{answer:?}");
            Ok(())
        }
    })
    .await?;
    ensure!(
        report.failed == 0,
        "{} requests of the good service failed: {:?}",
        report.failed,
        report.samples
    );
    Ok(report.p99())
}
