//! Components that know nothing of this platform: they run as they are, whichever version of `wasi:http` they speak.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use micro_integration::guest::{ALL_GRANTS, Guest};
use micro_integration::{Platform, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// componentize-js imports all of the world, used or not, so all of it must be granted.
fn js_manifest() -> String {
    format!("[service]\nname = \"hello-js\"\n[grants]\n{ALL_GRANTS}config = [\"own\"]\n")
}

/// Deploys a component from a folder that holds nothing else.
async fn deploy(platform: &Platform, guest: Guest, name: &str) -> Result<()> {
    let folder = platform.scratch().join(name);
    guest.place(&folder, "")?;
    platform.micro().ok(&["run", &folder.display().to_string()]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn version_0_2_runs_unmodified() -> Result<()> {
    let platform = Platform::start().await?;
    deploy(&platform, Guest::HttpP2, "plain").await?;
    scenarios(&platform).await
}

#[tokio::test(flavor = "multi_thread")]
async fn version_0_3_runs_unmodified() -> Result<()> {
    let platform = Platform::start().await?;
    deploy(&platform, Guest::HttpP3, "plain").await?;
    scenarios(&platform).await
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_runs_unmodified() -> Result<()> {
    let platform = Platform::start().await?;
    deploy(&platform, Guest::JsWeb, "plain").await?;
    let folder = platform.scratch().join("hello-js");
    Guest::JsService.place(&folder, &js_manifest())?;
    platform.micro().ok(&["run", &folder.display().to_string()]).await?;
    ensure!(platform.get("/plain/hello").await?.body == "hello");
    let body = "x".repeat(100_000);
    let echoed = http::send(http::client()?.post(platform.url("/plain/echo")).body(body.clone())).await?;
    ensure!(echoed.status == 200 && echoed.body == body, "{} {}", echoed.status, echoed.body.len());
    ensure!(platform.get("/plain/json?name=Jane").await?.body == r#"{"msg":"Hello Jane"}"#);
    let failed = platform.get("/plain/trap").await?;
    ensure!(failed.status == 500, "{failed:?}");
    let reply = platform.micro().ok(&["call", "hello-js", "Hello.Call", r#"{"name":"Jane"}"#]).await?;
    ensure!(reply == "{\n\t\"msg\": \"Hello Jane\"\n}\n", "{reply}");
    let blank = platform.post("/hello-js/hello/call", "{}").await?;
    ensure!(blank.status == 400 && blank.json()?["detail"] == "Name cannot be blank", "{blank:?}");
    let trapped = platform.post("/hello-js/hello/trap", "{}").await?;
    ensure!(trapped.status == 500, "{trapped:?}");
    Ok(())
}

/// Everything that both versions must do.
async fn scenarios(platform: &Platform) -> Result<()> {
    ensure!(platform.get("/plain/hello").await?.body == "hello");
    echo(platform).await?;
    streaming(platform).await?;
    trailers(platform).await?;
    head_and_headers(platform).await?;
    host(platform).await?;
    failures(platform).await
}

/// A body that does not fit any buffer comes back whole.
async fn echo(platform: &Platform) -> Result<()> {
    let body: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let request = http::client()?.post(platform.url("/plain/echo")).body(body.clone());
    let response = request.send().await?;
    ensure!(response.status() == 200);
    ensure!(response.bytes().await? == body, "the echo differs");
    Ok(())
}

/// Each part comes back before the next is sent: neither way waits for the whole.
async fn streaming(platform: &Platform) -> Result<()> {
    let mut connection = TcpStream::connect(platform.api()).await.context("connect")?;
    let head = "POST /plain/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    connection.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    for word in ["first", "second", "third"] {
        connection.write_all(format!("{:x}\r\n{word}\r\n", word.len()).as_bytes()).await?;
        read_until(&mut connection, &mut answer, word).await?;
    }
    connection.write_all(b"0\r\n\r\n").await?;
    read_until(&mut connection, &mut answer, "\r\n0\r\n\r\n").await?;
    let lines = platform.get("/plain/stream?20").await?;
    ensure!(lines.status == 200 && lines.body.lines().count() == 20, "{lines:?}");
    // A client that leaves in the middle harms nobody.
    drop(http::client()?.get(platform.url("/plain/stream?1000")).send().await?);
    ensure!(platform.get("/plain/hello").await?.status == 200);
    Ok(())
}

/// Reads on until `end` has come.
async fn read_until(connection: &mut TcpStream, text: &mut String, end: &str) -> Result<()> {
    let mut buffer = [0; 4096];
    while !text.contains(end) {
        let read = tokio::time::timeout(Duration::from_secs(10), connection.read(&mut buffer));
        let length = read.await.with_context(|| format!("{end:?} did not come: {text}"))??;
        ensure!(length > 0, "the answer ended before {end:?}: {text}");
        text.push_str(std::str::from_utf8(&buffer[..length])?);
    }
    Ok(())
}

/// They go to who can read them.
async fn trailers(platform: &Platform) -> Result<()> {
    let request = |more: &str| format!("GET /plain/trailers HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    let with =
        http::raw(platform.api(), request("TE: trailers\r\nConnection: TE, close\r\n").as_bytes()).await?;
    ensure!(with.contains("checked") && with.to_ascii_lowercase().contains("x-checksum: 7"), "{with}");
    let without = http::raw(platform.api(), request("Connection: close\r\n").as_bytes()).await?;
    ensure!(
        without.contains("checked") && !without.to_ascii_lowercase().contains("x-checksum: 7"),
        "{without}"
    );
    Ok(())
}

async fn head_and_headers(platform: &Platform) -> Result<()> {
    let head = http::send(http::client()?.head(platform.url("/plain/hello"))).await?;
    ensure!(head.status == 200 && head.body.is_empty(), "{head:?}");
    let many = http::client()?.get(platform.url("/plain/headers?60")).send().await?;
    let numbers = many.headers().keys().filter(|name| name.as_str().starts_with("x-number-")).count();
    ensure!(numbers == 60, "{numbers} headers");
    let early = http::send(http::client()?.post(platform.url("/plain/early")).body(vec![1; 100_000])).await?;
    ensure!(early.status == 403 && early.body == "not read", "{early:?}");
    Ok(())
}

/// The guest learns the host that the client named, and the path as it was sent.
async fn host(platform: &Platform) -> Result<()> {
    let ask =
        |path: &str, host: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let port = platform.api().port();
    let own = format!("plain--default.localhost:{port}");
    let answer = http::raw(platform.api(), ask("/a/../b//about?x=%20y", &own).as_bytes()).await?;
    ensure!(answer.contains("path /a/../b//about?x=%20y\n"), "{answer}");
    ensure!(answer.contains(&format!("authority {own}\n")), "{answer}");
    ensure!(answer.contains("scheme Some(Scheme::Http)\n"), "the scheme: {answer}");
    let unknown = http::raw(platform.api(), ask("/plain/hello", "example.com").as_bytes()).await?;
    ensure!(unknown.starts_with("HTTP/1.1 421"), "{unknown}");
    Ok(())
}

/// What goes wrong in a guest is a clean answer, and the next request is answered.
async fn failures(platform: &Platform) -> Result<()> {
    let trap = platform.get("/plain/trap").await?;
    ensure!(trap.status == 500 && !trap.json()?["id"].as_str().unwrap_or_default().is_empty(), "{trap:?}");
    let logs = platform.micro().ok(&["logs", "-n", "200", "plain"]).await?;
    ensure!(logs.contains("trapped on purpose"), "{logs}");
    // Nothing was on its way yet, so the whole answer can still be an error.
    let half = platform.get("/plain/trap-after").await;
    ensure!(half.as_ref().map_or(true, |answer| answer.status == 500), "{half:?}");
    let begun = http::client()?.get(platform.url("/plain/trap-late")).send().await?;
    ensure!(begun.status() == 200 && begun.bytes().await.is_err(), "a body that broke off looks whole");
    for status in ["101", "600", "999"] {
        let bad = platform.get(&format!("/plain/status?{status}")).await?;
        ensure!(bad.status == 502, "status {status} gave {}", bad.status);
    }
    let started = std::time::Instant::now();
    let hang = platform.get("/plain/hang").await?;
    ensure!(hang.status == 408 || hang.status == 504, "{hang:?}");
    ensure!(started.elapsed() < Duration::from_secs(10), "the deadline came after {:?}", started.elapsed());
    let refused = platform.get("/plain/proxy?127.0.0.1:1/").await?;
    ensure!(refused.status == 502 && refused.body.contains("Denied"), "{refused:?}");
    ensure!(platform.get("/plain/hello").await?.status == 200);
    Ok(())
}
