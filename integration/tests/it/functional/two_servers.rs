//! Two servers on one PostgreSQL: what ends at one of them ends at the other within a second, and what one of them stores
//! or publishes the other has too.

mod locks;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use micro_integration::tenant::{Tenant, send};
use micro_integration::{Bucket, Database, Options, Platform, http};
use reqwest::Method;
use serde_json::{Value, json};

/// How soon an end must be known everywhere. The half second more is this test's own way.
const WITHIN: Duration = Duration::from_millis(1_500);

async fn server(database: &Database) -> Result<Platform> {
    server_with(database, Vec::new(), Vec::new()).await
}

async fn server_with(
    database: &Database,
    mut flags: Vec<String>,
    mut env: Vec<(String, String)>,
) -> Result<Platform> {
    let shared = ["--store=postgres", "--events=postgres", "--no_builder"].map(str::to_owned);
    flags.push(format!("--db={}", database.url()));
    flags.extend(shared);
    let key = "6f1c".to_owned() + &"a39b02d7e4".repeat(6);
    env.push(("MICRO_MASTER_KEY".to_owned(), key));
    Platform::start_with(Options { flags, env, closed: true }).await
}

/// Waits until `path` is refused with this token, and says how long that took.
async fn refused(platform: &Platform, token: &str, path: &str) -> Result<Duration> {
    let since = Instant::now();
    loop {
        let answer = send(platform, token, Method::GET, path, &Value::Null).await?;
        if answer.status == 401 {
            return Ok(since.elapsed());
        }
        ensure!(since.elapsed() < WITHIN, "{path} after {:?}: {answer:?}", since.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_refused_by_the_other_server_within_a_second() -> Result<()> {
    let Some(database) = Database::create()? else { return Ok(()) };
    let (first, second) = (server(&database).await?, server(&database).await?);
    let jane = Tenant::sign_up(&first, "jane").await?;
    // Nothing builds it: its log stays open.
    let url = "https://git.example.com/jane/hello";
    let source = json!({"kind": "git", "url": url, "folder": "", "reference": ""});
    let run = json!({"source": source, "source_given": "hello", "name": "hello", "version": "latest"});
    let queued = send(&first, &jane.token, Method::POST, "/v1/services", &run).await?;
    ensure!(queued.status == 202, "{queued:?}");
    let service = queued.json()?["service"].as_str().context("a service")?.to_owned();

    let known = send(&second, &jane.token, Method::GET, "/v1/services", &Value::Null).await?;
    ensure!(known.status == 200, "{known:?}");
    let url = format!("http://{}/v1/services/{service}/logs?build=true&follow=true", second.control());
    let followed = http::client()?.get(url).bearer_auth(&jane.token).send().await?;
    ensure!(followed.status() == 200, "{followed:?}");
    let mut followed = followed.bytes_stream();
    let edge = jane.called_with(&second, &jane.token, "/nosuch/call").await?;
    ensure!(edge.status == 404, "{edge:?}");

    let keys = send(&first, &jane.session, Method::GET, "/v1/keys", &Value::Null).await?.json()?;
    let id = keys[0]["id"].as_str().context("a key")?.to_owned();
    let gone = send(&first, &jane.session, Method::DELETE, &format!("/v1/keys/{id}"), &Value::Null).await?;
    ensure!(gone.status == 204, "{gone:?}");
    let since = Instant::now();
    let (control, end) = tokio::join!(refused(&second, &jane.token, "/v1/services"), async {
        while let Some(Ok(_)) = followed.next().await {}
        since.elapsed()
    });
    println!("control refused after {:?}, the stream ended after {end:?}", control?);
    ensure!(end < WITHIN, "the stream went on for {end:?}");
    let edge = jane.called_with(&second, &jane.token, "/nosuch/call").await?;
    ensure!(edge.status == 401, "{edge:?}");

    // A session that is ended at the second ends at the first.
    let session = jane.session.as_str();
    ensure!(send(&first, session, Method::GET, "/v1/me", &Value::Null).await?.status == 200);
    let ended = send(&second, session, Method::DELETE, "/v1/sessions/current", &Value::Null).await?;
    ensure!(ended.status == 204, "{ended:?}");
    refused(&first, session, "/v1/me").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_stores_the_other_reads() -> Result<()> {
    let Some(database) = Database::create()? else { return Ok(()) };
    let (first, second) = (server(&database).await?, server(&database).await?);
    let (jane, joe) = (Tenant::sign_up(&first, "jane").await?, Tenant::sign_up(&second, "joe").await?);
    let write = json!({"key": "greeting", "value": "aGVsbG8="});
    let written = send(&first, &jane.token, Method::POST, "/v1/store/notes/write", &write).await?;
    ensure!(written.status == 204 || written.status == 200, "{written:?}");
    let key = json!({"key": "greeting"});
    let read = send(&second, &jane.token, Method::POST, "/v1/store/notes/read", &key).await?;
    ensure!(read.status == 200 && read.json()?[0]["value"] == "aGVsbG8=", "{read:?}");
    let others = send(&second, &joe.token, Method::POST, "/v1/store/notes/read", &key).await?;
    ensure!(others.status == 404, "another tenant's: {others:?}");
    let ready = http::client()?.get(format!("http://{}/readyz", second.health())).send().await?;
    let checks: Value = ready.json().await?;
    let store = checks.as_array().and_then(|checks| checks.iter().find(|check| check["name"] == "store"));
    ensure!(store.is_some_and(|store| store["ok"] == true), "{checks}");
    let events = checks.as_array().and_then(|checks| checks.iter().find(|check| check["name"] == "events"));
    ensure!(events.is_some_and(|events| events["ok"] == true), "{checks}");
    Ok(())
}

/// How soon what a server had that died must be delivered by another.
const HANDED_OVER: Duration = Duration::from_secs(10);

async fn publish(platform: &Platform, token: &str, number: u64) -> Result<()> {
    let event = json!({"topic": "orders", "message": {"number": number}});
    let published = send(platform, token, Method::POST, "/v1/events/publish", &event).await?;
    ensure!(published.status == 200, "{published:?}");
    Ok(())
}

/// What the group `g` gets at this server: position, delivery and id.
async fn consume(platform: &Platform, token: &str, wait_ms: u64) -> Result<Vec<(u64, u64, String)>> {
    let wanted =
        json!({"topic": "orders", "group": "g", "max": 2, "ack_wait_ms": 3_600_000, "wait_ms": wait_ms});
    let consumed = send(platform, token, Method::POST, "/v1/events/consume", &wanted).await?;
    ensure!(consumed.status == 200, "{consumed:?}");
    let consumed = consumed.json()?;
    let read = |delivery: &Value| {
        let event = &delivery["event"];
        let id = event["id"].as_str()?.to_owned();
        Some((event["position"].as_u64()?, delivery["attempt"].as_u64()?, id))
    };
    consumed["events"].as_array().and_then(|events| events.iter().map(read).collect()).context("events")
}

/// Consumes and acknowledges at one server until `all` events are handled at both, and nothing more comes.
async fn work(
    platform: &Platform,
    token: &str,
    handled: &AtomicUsize,
    all: usize,
) -> Result<Vec<(u64, u64)>> {
    let since = Instant::now();
    let mut done = Vec::new();
    loop {
        let taken = consume(platform, token, 500).await?;
        if taken.is_empty() && handled.load(Ordering::SeqCst) >= all {
            return Ok(done);
        }
        ensure!(since.elapsed() < Duration::from_secs(60), "{handled:?} of {all} came");
        for (position, attempt, id) in taken {
            let ack = json!({"topic": "orders", "group": "g", "id": id, "attempt": attempt, "success": true});
            let acked = send(platform, token, Method::POST, "/v1/events/ack", &ack).await?;
            ensure!(acked.status == 204, "{acked:?}");
            done.push((position, attempt));
            handled.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_publishes_a_group_handles_once_on_either() -> Result<()> {
    let Some(database) = Database::create()? else { return Ok(()) };
    let (first, second) = (server(&database).await?, server(&database).await?);
    let (jane, joe) = (Tenant::sign_up(&first, "jane").await?, Tenant::sign_up(&second, "joe").await?);
    publish(&first, &jane.token, 1).await?;
    let path = "/v1/events/read?topic=orders&limit=9";
    let read = send(&second, &jane.token, Method::GET, path, &Value::Null).await?;
    ensure!(read.status == 200 && read.json()?[0]["position"] == 1, "{read:?}");
    let others = send(&second, &joe.token, Method::GET, path, &Value::Null).await?;
    ensure!(others.json()? == json!([]), "another tenant's: {others:?}");

    let publishing = async {
        for number in 2..=40 {
            publish(if number % 2 == 0 { &first } else { &second }, &jane.token, number).await?;
        }
        Ok::<(), anyhow::Error>(())
    };
    let handled = AtomicUsize::new(0);
    let work_at = |server| work(server, &jane.token, &handled, 40);
    let (published, at_first, at_second) = tokio::join!(publishing, work_at(&first), work_at(&second));
    published?;
    let mut handled = [at_first?, at_second?].concat();
    handled.sort_unstable();
    let once: Vec<_> = (1..=40).map(|position| (position, 1)).collect();
    ensure!(handled == once, "{handled:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_had_is_delivered_by_the_other() -> Result<()> {
    let Some(database) = Database::create()? else { return Ok(()) };
    let (mut first, second) = (server(&database).await?, server(&database).await?);
    let jane = Tenant::sign_up(&second, "jane").await?;
    publish(&first, &jane.token, 1).await?;
    let taken = consume(&first, &jane.token, 0).await?;
    ensure!(taken.len() == 1, "{taken:?}");
    ensure!(consume(&second, &jane.token, 0).await?.is_empty(), "the first has it");
    first.kill()?;
    // Its lease of an hour does not matter.
    let since = Instant::now();
    let handed = consume(&second, &jane.token, 30_000).await?;
    ensure!(
        handed.first().is_some_and(|(position, attempt, _)| (*position, *attempt) == (1, 2)),
        "{handed:?}"
    );
    println!("handed over after {:?}", since.elapsed());
    ensure!(since.elapsed() < HANDED_OVER, "after {:?}", since.elapsed());
    Ok(())
}

/// Bytes that do not repeat in the length of any part or piece.
fn bytes(length: u64) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_that_one_server_puts_on_s3_the_other_reads() -> Result<()> {
    let (Some(database), Some(bucket)) = (Database::create()?, Bucket::create()?) else { return Ok(()) };
    let start = || server_with(&database, bucket.flags(), bucket.env());
    let (first, second) = (start().await?, start().await?);
    let (jane, joe) = (Tenant::sign_up(&first, "jane").await?, Tenant::sign_up(&second, "joe").await?);
    let there = jane.micro.with_env("MICRO_PLATFORM_ADDRESS", &second.control().to_string());
    let (up, down) = (first.scratch().join("up"), second.scratch().join("down"));
    let path = |path: &std::path::Path| path.display().to_string();
    // In one call, and in three parts.
    for length in [1_000, 20 << 20] {
        let whole = bytes(length);
        std::fs::write(&up, &whole)?;
        jane.micro.ok(&["blob", "put", "media", "film", &path(&up)]).await?;
        there.ok(&["blob", "get", "media", "film", &path(&down)]).await?;
        ensure!(std::fs::read(&down)? == whole, "what came back is not what went up");
    }
    let told = joe.micro.fails(&["blob", "get", "media", "film", &path(&down)]).await?;
    ensure!(told.trim() == "not found", "another tenant's: {told}");
    let files = first.data().join("blobs");
    ensure!(!files.exists(), "{} is there", files.display());
    for server in [&first, &second] {
        let ready = http::client()?.get(format!("http://{}/readyz", server.health())).send().await?;
        let checks: Value = ready.json().await?;
        let blob = checks.as_array().and_then(|checks| checks.iter().find(|check| check["name"] == "blob"));
        ensure!(blob.is_some_and(|blob| blob["ok"] == true), "{checks}");
    }
    there.ok(&["blob", "delete", "media", "film"]).await?;
    let told = jane.micro.fails(&["blob", "get", "media", "film", &path(&down)]).await?;
    ensure!(told.trim() == "not found", "{told}");
    Ok(())
}
