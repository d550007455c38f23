//! Blobs from the command line, and of a service that keeps files.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use micro_integration::guest::Guest;
use micro_integration::tenant::Tenant;
use micro_integration::{Options, Platform, eventually, http};
use serde_json::{Value, json};

const PLANS: &str = "[plan.small]\nblob_bytes = \"1MiB\"\n";

/// Bytes that do not repeat in any chunk's length.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_mebibytes_go_up_and_come_back_and_nobody_else_sees_them() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let plans = scratch.path().join("plans.toml");
    fs::write(&plans, PLANS)?;
    let flags = vec![format!("--plans={}", plans.display())];
    let platform = Platform::start_with(Options { flags, closed: true, ..Options::default() }).await?;
    let (ann, bob) = (Tenant::sign_up(&platform, "ann").await?, Tenant::sign_up(&platform, "bob").await?);
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let whole = bytes(20 << 20);
    fs::write(path("up"), &whole)?;

    let put = ann.micro.ok(&["blob", "put", "media", "films/one", &path("up"), "--json"]).await?;
    let put: Value = serde_json::from_str(&put)?;
    ensure!(put["size"] == 20 << 20 && put["content_type"] == "application/octet-stream", "{put}");
    ann.micro.ok(&["blob", "get", "media", "films/one", &path("down")]).await?;
    ensure!(fs::read(path("down"))? == whole, "what came back is not what went up");
    // It says so where the bytes are not those that were meant.
    let wrong = "00".repeat(32);
    let refused = ["blob", "put", "media", "films/one", &path("plans.toml"), "--digest", &wrong];
    let told = ann.micro.fails(&refused).await?;
    ensure!(told.contains("digest"), "{told}");
    let listed: Value = serde_json::from_str(&ann.micro.ok(&["blob", "list", "media", "--json"]).await?)?;
    ensure!(listed == json!([put]), "{listed}");

    let others = bob.micro.ok(&["blob", "list", "media", "--json"]).await?;
    ensure!(others.trim() == "[]", "{others}");
    let told = bob.micro.fails(&["blob", "get", "media", "films/one", &path("stolen")]).await?;
    ensure!(told.trim() == "not found" && !fs::exists(path("stolen"))?, "{told}");
    bob.micro.ok(&["blob", "delete", "media", "films/one"]).await?;
    ann.micro.ok(&["blob", "get", "media", "films/one", &path("again")]).await?;

    platform.micro().ok(&["operator", "plan", &bob.namespace, "small"]).await?;
    let limited = eventually("the plan is known", Duration::from_secs(15), async || {
        let told = bob.micro.fails(&["blob", "put", "media", "films/one", &path("up")]).await;
        if told.is_err() {
            // The node did not know yet. What is there already may be replaced by as much.
            bob.micro.ok(&["blob", "delete", "media", "films/one"]).await?;
        }
        told
    });
    let told = limited.await?;
    ensure!(told.contains("limit: blob_bytes: the plan of this namespace allows 1048576 bytes"), "{told}");
    fs::write(path("small"), bytes(1_000))?;
    bob.micro.ok(&["blob", "put", "media", "small", &path("small")]).await?;
    let shown: Value = serde_json::from_str(&bob.micro.ok(&["limits", "--json"]).await?)?;
    let limits = shown["limits"].as_array().context("limits")?;
    let own = limits.iter().find(|limit| limit["name"] == "blob_bytes").context("blob_bytes")?;
    ensure!(own["used"] == 1_000 && own["max"] == 1 << 20, "{own}");
    bob.micro.ok(&["blob", "delete", "media", "small"]).await?;
    let gone = bob.micro.ok(&["blob", "list", "media", "--json"]).await?;
    ensure!(gone.trim() == "[]", "{gone}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_of_files_and_the_command_line_see_the_same() -> Result<()> {
    let platform = Platform::start().await?;
    let folder = platform.scratch().join("files");
    Guest::Example("files").place_example(&folder)?;
    platform.micro().ok(&["run", &folder.display().to_string()]).await?;
    let ask = async |endpoint: &str, body: Value| {
        let request = http::client()?.post(platform.url(&format!("/files/{endpoint}"))).json(&body);
        let answer = http::send(request).await?;
        ensure!(answer.status == 200, "{endpoint}: {answer:?}");
        answer.json()
    };
    let put = ask("put", json!({"name": "hi.txt", "content": "SGkgdGhlcmU=", "content_type": "text/plain"}));
    let put = put.await?;
    ensure!(put["name"] == "hi.txt" && put["digest"].as_str().is_some_and(|text| text.len() == 64), "{put}");
    ensure!(platform.micro().ok(&["blob", "get", "files", "hi.txt"]).await? == "Hi there");

    let (up, whole) = (folder.join("up"), bytes(3 << 20));
    fs::write(&up, &whole)?;
    platform.micro().ok(&["blob", "put", "files", "large", &up.display().to_string()]).await?;
    let tail = ask("get", json!({"name": "large", "offset": (3 << 20) - 3})).await?;
    let end = whole.last_chunk::<3>().context("three bytes")?;
    ensure!(tail["content"] == STANDARD.encode(end) && tail["file"]["name"] == "large", "{tail}");
    let listed = ask("list", json!({})).await?;
    let names: Vec<_> =
        listed["files"].as_array().context("files")?.iter().map(|file| &file["name"]).collect();
    ensure!(names == ["hi.txt", "large"], "{listed}");
    Ok(())
}

/// What the gateway answers to a URL that was made, asked by nobody: status, the value of a header, body.
async fn visit(
    platform: &Platform,
    url: &str,
    header: &str,
    range: Option<&str>,
) -> Result<(u16, String, String)> {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).context("a URL")?;
    ensure!(host.ends_with(&format!(":{}", platform.api().port())), "{url}");
    let mut request = http::client()?.get(platform.url(&format!("/{path}"))).header("host", host);
    if let Some(range) = range {
        request = request.header("range", range);
    }
    let response = request.send().await?;
    let told =
        response.headers().get(header).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    Ok((response.status().as_u16(), told.unwrap_or_default(), response.text().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_open_public_blobs_and_signed_ones_to_strangers() -> Result<()> {
    let mut platform = Platform::start_with(Options { closed: true, ..Options::default() }).await?;
    let (ann, bob) = (Tenant::sign_up(&platform, "ann").await?, Tenant::sign_up(&platform, "bob").await?);
    let file = platform.scratch().join("file");
    fs::write(&file, "0123456789")?;
    let file = file.display().to_string();
    let put = |key: &'static str, more: &'static [&'static str]| {
        let (ann, file) = (&ann, &file);
        async move { ann.micro.ok(&[&["blob", "put", "media", key, file.as_str()], more].concat()).await }
    };
    put("shut", &[]).await?;
    put("open/page.html", &["--public", "--content-type", "text/html"]).await?;

    let told = ann.micro.fails(&["blob", "url", "media", "shut"]).await?;
    ensure!(told.contains("not public"), "{told}");
    let open = ann.micro.ok(&["blob", "url", "media", "open/page.html"]).await?;
    let open = open.trim();
    let port = platform.api().port();
    let own = format!("http://{}.localhost:{port}/.micro/blob/media", ann.namespace);
    ensure!(open == format!("{own}/open/page.html"), "{open}");
    let (status, disposition, body) = visit(&platform, open, "content-disposition", None).await?;
    ensure!((status, body.as_str()) == (200, "0123456789"), "{status} {body}");
    ensure!(disposition == "attachment; filename*=UTF-8''page.html", "{disposition}");
    let (status, range, body) = visit(&platform, open, "content-range", Some("bytes=-3")).await?;
    ensure!(
        (status, range.as_str(), body.as_str()) == (206, "bytes 7-9/10", "789"),
        "{status} {range} {body}"
    );

    let made = ann.micro.ok(&["blob", "url", "media", "shut", "--expires", "1h", "--json"]).await?;
    let made: Value = serde_json::from_str(&made)?;
    let url = made["url"].as_str().context("url")?.to_owned();
    ensure!(made["expires_ms"].as_i64().is_some_and(|at| at % 1_000 == 0), "{made}");
    let (status, cache, body) = visit(&platform, &url, "cache-control", None).await?;
    ensure!((status, cache.as_str(), body.as_str()) == (200, "private, no-cache", "0123456789"), "{status}");
    let unsigned = url.split('?').next().context("a path")?;
    let (private, _, said) = visit(&platform, unsigned, "etag", None).await?;
    let (missing, _, nothing) = visit(&platform, &format!("{own}/missing"), "etag", None).await?;
    ensure!((private, said) == (missing, nothing) && private == 404, "{private} {missing}");
    for wrong in [
        url.replace(&format!("//{}.", ann.namespace), &format!("//{}.", bob.namespace)),
        url.replace("/shut?", "/open/page.html?"),
        url.replace("expires=", "expires=9"),
    ] {
        let (status, _, body) = visit(&platform, &wrong, "etag", None).await?;
        ensure!(status == 403 && body.contains("go.micro.blob"), "{wrong}: {status} {body}");
    }
    // Bob may not have Ann's signed, nor does he learn whether it is there.
    let told = bob.micro.fails(&["blob", "url", "media", "shut", "--expires", "1h"]).await?;
    ensure!(told.trim() == "not found", "{told}");
    let told = ann.micro.fails(&["blob", "url", "media", "shut", "--expires", "200h"]).await?;
    ensure!(told.contains("7 days"), "{told}");

    put("gone", &[]).await?;
    let gone = ann.micro.ok(&["blob", "url", "media", "gone", "--expires", "1h"]).await?;
    ensure!(visit(&platform, gone.trim(), "etag", None).await?.0 == 200, "{gone}");
    ann.micro.ok(&["blob", "delete", "media", "gone"]).await?;
    ensure!(visit(&platform, gone.trim(), "etag", None).await?.0 == 404, "after it was deleted");

    // The key is the platform's, and not the process's.
    platform.stop().await?;
    platform.start_server().await?;
    let moved = url.replace(&format!(":{port}/"), &format!(":{}/", platform.api().port()));
    ensure!(visit(&platform, &moved, "etag", None).await?.0 == 200, "after a restart");
    Ok(())
}
