//! The gateway's part of the catalogue.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use micro_integration::{Platform, eventually, http};
use reqwest::Method;

/// Requests that `helloworld` answers.
pub(super) async fn check(platform: &Platform) -> Result<()> {
    let version = platform.get("/").await?;
    ensure!(version.status == 200 && version.body.starts_with("{\"version\": \""), "G-120 {version:?}");
    for (id, path) in
        [("G-122", "/helloworld/call"), ("GW-03", "/helloworld"), ("GW-03", "/helloworld/helloworld/call")]
    {
        let answer = platform.post(path, "{\"name\": \"John\"}").await?;
        ensure!(answer.status == 200 && answer.body == "{\"msg\":\"Hello John\"}", "{id} {path} {answer:?}");
        let query = platform.get(&format!("{path}?name=John")).await?;
        ensure!(query.body == "{\"msg\":\"Hello John\"}", "{id} {path} {query:?}");
    }
    rpc(platform).await?;
    greeter(platform).await?;
    let page = http::client()?.get(platform.url("/page")).send().await?;
    let location = page.headers().get("location").and_then(|value| value.to_str().ok());
    ensure!(
        page.status() == 302 && location == Some("/page/"),
        "links of a page are relative to it: {page:?}"
    );
    let page = platform.get("/page/").await?;
    ensure!(page.status == 200 && page.body.contains("<html"), "a page {page:?}");
    static_files(platform).await?;
    let passed_on = platform.post("/caller/call", "{\"name\":\"John\"}").await?;
    ensure!(
        passed_on.body == "{\"msg\":\"helloworld says: Hello John\"}",
        "a call of a service {passed_on:?}"
    );
    let unknown = platform.get("/nosuch/call").await?;
    ensure!(unknown.status == 404 && unknown.json()?["code"] == 404, "G-129 {unknown:?}");
    Ok(())
}

/// What the SDK's router does with embedded files, as a browser sees it.
async fn static_files(platform: &Platform) -> Result<()> {
    let client = http::client()?;
    let url = platform.url("/page/");
    let first = client.get(&url).send().await?;
    let etag = first.headers().get("etag").context("a page has an ETag")?.to_str()?.to_owned();
    let again = client.get(&url).header("if-none-match", &etag).send().await?;
    ensure!(
        again.status() == 304 && again.bytes().await?.is_empty(),
        "a page that is known is not sent again"
    );
    let changed = client.get(&url).header("if-none-match", "\"other\"").send().await?;
    ensure!(changed.status() == 200, "{changed:?}");
    let head = client.head(&url).send().await?;
    ensure!(head.status() == 200, "{head:?}");
    let out = platform.get("/page/%2e%2e/Cargo.toml").await?;
    ensure!(out.status == 404, "no path leads out of the folder: {out:?}");
    eventually("the log says that files are served", Duration::from_secs(20), async || {
        let logs = platform.micro().ok(&["logs", "web.page"]).await?;
        let lines = logs.matches("Enabling static file serving from html\n").count();
        ensure!(lines == 1, "SDK-16: once a start: {logs}");
        Ok(())
    })
    .await
}

/// `/rpc`, on the gateway and on the address of clients.
async fn rpc(platform: &Platform) -> Result<()> {
    let client = http::client()?;
    for address in [platform.api(), platform.control()] {
        let url = format!("http://{address}/rpc");
        let form = [
            ("service", "go.micro.srv.helloworld"),
            ("method", "Helloworld.Call"),
            ("request", "{\"name\": \"John\"}"),
        ];
        if address == platform.api() {
            let answer = http::send(client.post(&url).form(&form)).await?;
            ensure!(answer.body == "{\"msg\":\"Hello John\"}", "G-123 {answer:?}");
        }
        let json = serde_json::json!({"service": "helloworld", "method": "Helloworld.Call", "request": {"name": "John"}});
        let answer = http::send(client.post(&url).json(&json)).await?;
        ensure!(answer.body == "{\"msg\":\"Hello John\"}", "G-124 {answer:?}");
        let get = http::send(client.request(Method::GET, &url)).await?;
        ensure!(get.status == 405 && get.body.contains("Method not allowed"), "G-125 {get:?}");
        let none = http::send(client.post(&url).json(&serde_json::json!({}))).await?;
        let error = none.json()?;
        ensure!(none.status == 400 && error["id"] == "go.micro.rpc", "G-126 {none:?}");
        ensure!(error["detail"] == "invalid service" && error["status"] == "Bad Request", "G-126 {none:?}");
    }
    Ok(())
}

/// The pair of an API service and the service behind it.
async fn greeter(platform: &Platform) -> Result<()> {
    let hello = platform.get("/greeter/say/hello?name=John").await?;
    ensure!(hello.status == 200 && hello.body == "{\"message\":\"Hello John\"}", "G-121 {hello:?}");
    let blank = platform.get("/greeter/say/hello").await?;
    let error = blank.json()?;
    ensure!(blank.status == 400 && error["id"] == "go.micro.api.greeter", "G-121 {blank:?}");
    ensure!(error["detail"] == "Name cannot be blank", "G-121 {blank:?}");
    Ok(())
}
