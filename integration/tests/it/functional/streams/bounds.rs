//! What holds streams: callers that leave, readers that do not read, and services that do not stop.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::platform::signal;
use micro_integration::tenant::Tenant;
use micro_integration::{Micro, Options, Platform, eventually, http};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::wire::{WITHIN, lines};
use super::{deploy, ticker};

/// One message of `BadNeighbour.Torrent`.
const PART_BYTES: u64 = 64 << 10;
/// What may lie between a service and a reader that reads nothing: the platform's own queues, and the buffers of both
/// ends of a connection, which are the kernel's and have megabytes.
const BETWEEN_BYTES_MAX: u64 = 32 << 20;

/// Waits for a line of a service's log that holds `text`.
async fn logged(platform: &Platform, service: &str, text: &str) -> Result<String> {
    eventually(&format!("{service} logs {text}"), WITHIN, async || {
        let logs = platform.micro().ok(&["logs", "-n", "1000", service]).await?;
        let line = logs.lines().rfind(|line| line.contains(text)).map(str::to_owned);
        line.with_context(|| format!("in {logs}"))
    })
    .await
}

/// The number after `word`.
fn number(line: &str, word: &str) -> Result<u64> {
    let (_, rest) = line.split_once(word).with_context(|| format!("{word} in {line}"))?;
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().with_context(|| format!("a number in {line}"))
}

const BAD: &str =
    "[service]\nname = \"bad-neighbour\"\n[grants]\ncall = [\"bad-neighbour\"]\nhttp = [\"localhost:9\"]\n";

async fn bad_neighbour() -> Result<Platform> {
    let platform = Platform::start().await?;
    run(&platform, &platform.micro(), "bad-neighbour", BAD).await?;
    Ok(platform)
}

pub(super) async fn run(
    platform: &Platform,
    micro: &Micro,
    example: &'static str,
    manifest: &str,
) -> Result<()> {
    let folder = platform.scratch().join(example);
    Guest::Example(example).place(&folder, manifest)?;
    micro.ok(&["run", &folder.display().to_string()]).await.map(drop)
}

/// Somebody whose plan has a single instance: another call is answered only when the one before it is over.
pub(super) struct Single {
    pub(super) platform: Platform,
    pub(super) tenant: Tenant,
}

impl Single {
    pub(super) async fn start() -> Result<Self> {
        let plans = tempfile::NamedTempFile::new().context("make a file for the plans")?;
        fs::write(plans.path(), "default = \"one\"\n[plan.one]\ninstances = 1\n")
            .context("write the plans")?;
        let flags = vec![format!("--plans={}", plans.path().display())];
        let platform = Platform::start_with(Options { flags, closed: true, ..Options::default() }).await?;
        let tenant = Tenant::sign_up(&platform, "ann").await?;
        Ok(Self { platform, tenant })
    }

    /// Waits for the first reply, and leaves.
    async fn leave(&self, path: &str, accept: &str) -> Result<()> {
        self.begin(path, accept).await.map(drop)
    }

    /// Waits for the first reply. Whoever drops the rest of them leaves.
    pub(super) async fn begin(&self, path: &str, accept: &str) -> Result<(String, reqwest::Response)> {
        let host = format!("{}.localhost:{}", self.tenant.namespace, self.platform.api().port());
        let request = http::client()?.get(self.platform.url(path)).header("host", host);
        let mut response = request.bearer_auth(&self.tenant.token).header("accept", accept).send().await?;
        ensure!(response.status() == 200, "{response:?}");
        let first = response.chunk().await?.context("a first reply")?;
        Ok((String::from_utf8_lossy(&first).into_owned(), response))
    }

    pub(super) async fn is_free(&self, path: &str) -> Result<()> {
        eventually("the instance is free", WITHIN, async || {
            let answer = self.tenant.called_with(&self.platform, &self.tenant.token, path).await?;
            ensure!(answer.status == 200, "{answer:?}");
            Ok(())
        })
        .await
    }
}

/// A connection that asked for an endless stream and has read none of it.
async fn ask(platform: &Platform, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(platform.api()).await.context("connect")?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).await.context("ask")?;
    Ok(stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_hears_that_its_caller_left() -> Result<()> {
    let single = Single::start().await?;
    let micro = &single.tenant.micro;
    run(&single.platform, micro, "ticker", "[service]\nname = \"ticker\"\n").await?;
    for (round, accept) in ["*/*", "text/event-stream"].into_iter().enumerate() {
        single.leave("/ticker/stream?interval_ms=1", accept).await?;
        eventually("the service logs 499", WITHIN, async || {
            let logs = micro.ok(&["logs", "-n", "1000", "ticker"]).await?;
            ensure!(logs.matches(", then 499").count() == round + 1, "{logs}");
            Ok(())
        })
        .await?;
        single.is_free("/ticker/call?name=Jane").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_command_and_the_stream() -> Result<()> {
    let platform = ticker().await?;
    let words = ["stream", "-o", "raw", "ticker", "Ticker.Stream", r#"{"interval_ms": 1}"#];
    let mut command = Command::from(platform.micro().command(&words));
    let mut child = command.kill_on_drop(true).stdout(Stdio::piped()).spawn().context("start micro")?;
    let printed = child.stdout.take().context("its output")?;
    let mut printed = BufReader::new(printed).lines();
    let first = tokio::time::timeout(WITHIN, printed.next_line()).await.context("nothing is printed")??;
    ensure!(first.as_deref() == Some("{\"count\":\"1\"}"), "{first:?}");
    signal(child.id().context("it ended")?, "INT")?;
    tokio::time::timeout(WITHIN, child.wait()).await.context("it goes on")??;
    logged(&platform, "ticker", ", then 499").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_waits_makes_the_service_wait() -> Result<()> {
    let platform = bad_neighbour().await?;
    let mut slow = ask(&platform, "/bad-neighbour/torrent?milliseconds=500").await?;
    let stalled = number(&logged(&platform, "bad-neighbour", "stalled after ").await?, "stalled after ")?;
    ensure!(stalled * PART_BYTES < BETWEEN_BYTES_MAX, "{stalled} messages are kept somewhere");
    // It goes on when the reader does. A line of JSON is longer than what it says.
    let mut read = 0u64;
    let mut buffer = vec![0; 1 << 20];
    while read < (stalled + 50) * PART_BYTES * 3 / 2 {
        let count =
            tokio::time::timeout(WITHIN, slow.read(&mut buffer)).await.context("it stands still")??;
        ensure!(count > 0, "it ended after {read} bytes");
        read += count as u64;
    }
    drop(slow);
    let sent = number(&logged(&platform, "bad-neighbour", ", then 499").await?, "sent ")?;
    ensure!(sent > stalled, "{sent} after {stalled}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_stop_is_stopped() -> Result<()> {
    let single = Single::start().await?;
    run(&single.platform, &single.tenant.micro, "bad-neighbour", BAD).await?;
    single.leave("/bad-neighbour/deaf", "*/*").await?;
    single.is_free("/bad-neighbour/hello").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_too_large_ends_its_stream() -> Result<()> {
    let platform = bad_neighbour().await?;
    let answer = platform.get("/bad-neighbour/overflow").await?;
    let said = lines(&answer.body)?;
    ensure!(answer.status == 200 && said.len() == 2, "{answer:?}");
    ensure!(said.last().is_some_and(|last| last["error"]["code"].as_u64() >= Some(400)), "{answer:?}");
    logged(&platform, "bad-neighbour", "limit: ").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_ends_its_stream() -> Result<()> {
    let platform = ticker().await?;
    // Not much more, so that the gateway has read nearly all when it says no.
    let name = "x".repeat(10 << 20);
    for (kind, body) in [
        ("application/x-ndjson", format!("{{\"stroke\": 1}}\n{{\"stroke\": \"{name}\"}}\n").into_bytes()),
        // The length alone says it.
        ("application/connect+json", vec![0, 0xff, 0xff, 0xff, 0xff]),
    ] {
        let request = http::client()?.post(platform.url("/ticker/ping-pong")).header("content-type", kind);
        let answer = http::send(request.body(body)).await?;
        ensure!(
            answer.status == 413 || answer.body.contains("413"),
            "{kind}: {} {:.300}",
            answer.status,
            answer.body
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_has_a_bounded_number_of_open_streams() -> Result<()> {
    let platform = bad_neighbour().await?;
    deploy(&platform, &["ticker"]).await?;
    let answer = platform.get("/bad-neighbour/streams").await?;
    ensure!(answer.status == 200, "{answer:?}");
    ensure!(answer.json()?["failed"].as_u64().is_some_and(|open| open <= 16), "{answer:?}");
    logged(&platform, "bad-neighbour", " streams are open, then ").await?;
    // They ended with the call that opened them.
    let said =
        platform.micro().ok(&["stream", "-o", "raw", "ticker", "Ticker.Stream", r#"{"count": 1}"#]).await?;
    ensure!(said == "{\"count\":\"1\"}\n", "{said}");
    let hello = platform.get("/bad-neighbour/hello").await?;
    ensure!(hello.status == 200, "{hello:?}");
    Ok(())
}
