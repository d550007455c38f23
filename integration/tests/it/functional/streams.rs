//! Endpoints that stream, by everything that can call them: the command line, plain HTTP, Connect over HTTP/1.1 and
//! HTTP/2, and another service.

mod bounds;
mod concurrent;
mod connect;
mod wire;

use anyhow::{Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::{Platform, http};
use serde_json::{Value, json};

use wire::lines;

/// Deploys examples as they are.
async fn deploy(platform: &Platform, examples: &[&'static str]) -> Result<()> {
    for example in examples {
        let folder = platform.scratch().join(example);
        Guest::Example(example).place_example(&folder)?;
        platform.micro().ok(&["run", &folder.display().to_string()]).await?;
    }
    Ok(())
}

async fn ticker() -> Result<Platform> {
    let platform = Platform::start().await?;
    deploy(&platform, &["ticker"]).await?;
    Ok(platform)
}

/// 64-bit numbers of protobuf's JSON are strings.
fn counts(most: u64) -> Vec<Value> {
    (1..=most).map(|count| json!({"count": count.to_string()})).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_prints_each_message() -> Result<()> {
    let platform = ticker().await?;
    let micro = platform.micro();
    let said = micro.ok(&["stream", "ticker", "Ticker.Stream", r#"{"count": 3}"#]).await?;
    let wanted = "{\n\t\"count\": \"1\"\n}\n{\n\t\"count\": \"2\"\n}\n{\n\t\"count\": \"3\"\n}\n";
    ensure!(said == wanted, "{said}");
    let one = micro.ok(&["stream", "-o", "raw", "ticker", "Ticker.Call", r#"{"name": "Jane"}"#]).await?;
    ensure!(one == "{\"msg\":\"Hello Jane\"}\n", "one reply is a stream of one: {one}");
    // One message is a stream of one, too.
    let ended = micro.run(&["stream", "ticker", "Ticker.PingPong", r#"{"stroke": -1}"#]).await?;
    ensure!(ended.code == 1 && ended.stdout.is_empty(), "{ended:?}");
    ensure!(ended.stderr.contains("error calling ticker.Ticker.PingPong: "), "{ended:?}");
    ensure!(ended.stderr.contains("a stroke is not below 0"), "{ended:?}");
    let unknown = micro.fails(&["stream", "ticker", "Ticker.Nothing"]).await?;
    ensure!(unknown.contains("\"code\":404"), "{unknown}");
    let called = micro.fails(&["call", "ticker", "Ticker.Stream", r#"{"count": 3}"#]).await?;
    ensure!(called.contains("micro stream"), "{called}");
    // What the registry says of them.
    let shown = micro.ok(&["get", "service", "ticker"]).await?;
    ensure!(shown.contains("Endpoint: Ticker.Stream\n\nMetadata: replies=stream,stream=true"), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_has_a_line_or_an_event_for_each_reply() -> Result<()> {
    let platform = ticker().await?;
    let (client, url) = (http::client()?, platform.url("/ticker/stream"));
    for request in [client.get(format!("{url}?count=3")), client.post(&url).json(&json!({"count": 3}))] {
        let response = request.send().await?;
        ensure!(response.status() == 200, "{response:?}");
        ensure!(response.headers()["content-type"] == "application/x-ndjson", "{response:?}");
        ensure!(lines(&response.text().await?)? == counts(3));
    }
    let events = client.get(format!("{url}?count=2")).header("accept", "text/event-stream").send().await?;
    ensure!(events.headers()["content-type"].to_str()?.starts_with("text/event-stream"), "{events:?}");
    let text = events.text().await?;
    let data: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    ensure!(lines(&data.join("\n"))? == counts(2), "{text}");

    // A stream of requests is one object a line.
    let sum = client.post(platform.url("/ticker/sum")).header("content-type", "application/x-ndjson");
    let body = "{\"value\": 1}\n\n{\"value\": -3}\r\n{\"value\": 44}";
    let answer = http::send(sum.body(body)).await?;
    ensure!(answer.status == 200 && answer.json()? == json!({"numbers": 3, "sum": "42"}), "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_comes_after_the_replies_before_it() -> Result<()> {
    let platform = ticker().await?;
    let client = http::client()?;
    let rally = |accept: &str| {
        let request = client.post(platform.url("/ticker/ping-pong")).header("accept", accept);
        request
            .header("content-type", "application/x-ndjson")
            .body("{\"stroke\": 1}\n{\"stroke\": 2}\n{\"stroke\": -1}\n")
    };
    let answer = http::send(rally("*/*")).await?;
    let said = lines(&answer.body)?;
    let [first, second, last] = said.as_slice() else { anyhow::bail!("{answer:?}") };
    ensure!((first, second) == (&json!({"stroke": "1"}), &json!({"stroke": "2"})), "{answer:?}");
    ensure!(answer.status == 200 && last["error"]["code"] == 400, "{answer:?}");
    ensure!(last["error"]["id"] == "ticker", "{answer:?}");
    ensure!(last["error"]["detail"] == "a stroke is not below 0", "{answer:?}");

    let answer = http::send(rally("text/event-stream")).await?;
    let (replies, error) = answer.body.split_once("event: error").unwrap_or((&answer.body, ""));
    ensure!(replies.matches("data: ").count() == 2, "{answer:?}");
    ensure!(error.contains("data: ") && error.contains("a stroke is not below 0"), "{answer:?}");

    // Before the first reply it is an ordinary one.
    let early = client.post(platform.url("/ticker/ping-pong"));
    let early = early.header("content-type", "application/x-ndjson").body("{\"stroke\": -1}\n");
    let answer = http::send(early).await?;
    ensure!(answer.status == 400 && answer.json()?["detail"] == "a stroke is not below 0", "{answer:?}");
    // So is a message that is none of the endpoint's.
    for body in ["{\"stroke\": \"x\"}\n", "{\"nothing\": 1}\n", "nonsense\n"] {
        let request = client.post(platform.url("/ticker/ping-pong"));
        let request = request.header("content-type", "application/x-ndjson").body(body);
        let answer = http::send(request).await?;
        ensure!(answer.status == 400, "{body}: {answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_opens_streams_of_another_that_it_may_call() -> Result<()> {
    let platform = Platform::start().await?;
    deploy(&platform, &["ticker", "caller"]).await?;
    let micro = platform.micro();
    let said = micro.ok(&["stream", "-o", "raw", "caller", "Caller.Rally", r#"{"strokes": 20}"#]).await?;
    let wanted: Vec<_> =
        (1..=20).map(|stroke| json!({"msg": format!("ticker says: pong {stroke}")})).collect();
    ensure!(lines(&said)? == wanted, "{said}");
    // The wrappers see one call each.
    let logs = micro.ok(&["logs", "caller"]).await?;
    let opened = "[wrapper] client request to service: ticker endpoint: Ticker.PingPong";
    ensure!(logs.matches(opened).count() == 1, "{logs}");

    // Without the grant it is opened to nobody.
    let folder = platform.scratch().join("shy");
    let manifest = "[service]\nname = \"shy\"\n[grants]\ncall = [\"helloworld\"]\n";
    Guest::Example("caller").place(&folder, manifest)?;
    micro.ok(&["run", &folder.display().to_string()]).await?;
    let refused = micro.fails(&["stream", "shy", "Caller.Rally", r#"{"strokes": 1}"#]).await?;
    ensure!(refused.contains("\"code\":403"), "{refused}");
    Ok(())
}
