//! Services that run elsewhere: registered, listed and called as those of the platform.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use micro_integration::guest::Guest;
use micro_integration::tenant::{Tenant, send};
use micro_integration::{Options, Platform, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A server that answers `Helloworld.Call` in both codecs, and counts.
pub(super) struct Elsewhere {
    pub(super) address: SocketAddr,
    calls: Arc<AtomicU32>,
}

impl Elsewhere {
    pub(super) async fn start(name: &'static str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let address = listener.local_addr().context("the address")?;
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let answer = move |headers: HeaderMap, body: Bytes| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                let kind = headers.get("content-type").cloned();
                let from = headers.get("micro-from-service").and_then(|from| from.to_str().ok());
                let text = format!("hello from {name} to {}", from.unwrap_or("a client"));
                if kind.as_ref().is_some_and(|kind| kind == "application/proto") {
                    let length = u8::try_from(text.len()).unwrap_or(0);
                    let message = [&[0x0a, length][..], text.as_bytes()].concat();
                    return (StatusCode::OK, [("content-type", "application/proto")], message)
                        .into_response();
                }
                let asked: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
                if asked["name"] == "nobody" {
                    let error = json!({"code": "not_found", "message": "there is no such person"});
                    return (StatusCode::NOT_FOUND, axum::Json(error)).into_response();
                }
                axum::Json(json!({"msg": text})).into_response()
            }
        };
        let router = Router::new().route("/Helloworld/Call", post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, calls })
    }

    pub(super) fn definition(&self, id: &str) -> String {
        let node = json!({"id": id, "address": self.address.ip().to_string(), "port": self.address.port()});
        json!({"name": "helloworld", "nodes": [node]}).to_string()
    }
}

async fn platform() -> Result<Platform> {
    let flags = vec!["--allow_loopback".to_owned()];
    Platform::start_with(Options { flags, ..Options::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_elsewhere_answers_as_one_of_the_platform() -> Result<()> {
    let platform = platform().await?;
    let (micro, elsewhere) = (platform.micro(), Elsewhere::start("afar").await?);
    let definition = elsewhere.definition("far-1");
    ensure!(micro.ok(&["register", "service", &definition]).await? == "ok\n");
    ensure!(micro.ok(&["list", "services"]).await?.lines().any(|name| name == "helloworld"));
    let record = micro.ok(&["get", "service", "helloworld"]).await?;
    ensure!(record.contains(&format!("far-1\t{}\truntime=external", elsewhere.address)), "{record}");

    let called = micro.ok(&["call", "helloworld", "Helloworld.Call", r#"{"name": "Jane"}"#]).await?;
    ensure!(called.contains("hello from afar to a client"), "{called}");
    let by_http = platform.get("/helloworld/call?name=Jane").await?;
    ensure!(by_http.status == 200 && by_http.body.contains("hello from afar"), "{by_http:?}");
    let unknown = platform.get("/helloworld/call?name=nobody").await?;
    ensure!(unknown.status == 404 && unknown.body.contains("there is no such person"), "{unknown:?}");

    // A service of the platform calls it as it would call one here, in its own codec.
    let folder = platform.scratch().join("caller");
    Guest::Example("caller").place_example(&folder)?;
    micro.ok(&["run", &folder.display().to_string()]).await?;
    let through = platform.get("/caller/call?name=Jane").await?;
    ensure!(through.body.contains("helloworld says: hello from afar to caller"), "{through:?}");

    ensure!(micro.ok(&["deregister", "service", &definition]).await? == "ok\n");
    let gone = platform.get("/helloworld/call?name=Jane").await?;
    ensure!(gone.status == 404, "{gone:?}");
    let again = micro.run(&["deregister", "service", &definition]).await?;
    ensure!(again.code != 0 && again.stderr.contains("not found"), "{again:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_elsewhere_that_stops_is_left_for_another_until_its_time_is_over() -> Result<()> {
    let platform = platform().await?;
    let (micro, stays) = (platform.micro(), Elsewhere::start("here").await?);
    // A port that nobody listens on any more.
    let gone = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let dead = json!({"name": "helloworld", "nodes": [{"id": "dead", "address": gone.to_string()}]});
    micro.ok(&["register", "service", "--ttl", "2", &dead.to_string()]).await?;
    micro.ok(&["register", "service", &stays.definition("alive")]).await?;
    for _ in 0..20 {
        let answer = platform.get("/helloworld/call?name=Jane").await?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    ensure!(stays.calls.load(Ordering::SeqCst) == 20);
    let nodes = || async {
        let record = micro.ok(&["get", "service", "helloworld"]).await?;
        ensure!(!record.contains("dead"), "{record}");
        Ok(record)
    };
    let record = eventually("the dead node ends", Duration::from_secs(20), nodes).await?;
    ensure!(record.contains("alive"), "{record}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_neither_sees_nor_calls_what_runs_elsewhere() -> Result<()> {
    let flags = vec!["--allow_loopback".to_owned()];
    let platform = Platform::start_with(Options { flags, closed: true, ..Options::default() }).await?;
    let (ann, bob) = (Tenant::sign_up(&platform, "ann").await?, Tenant::sign_up(&platform, "bob").await?);
    let elsewhere = Elsewhere::start("afar").await?;
    ann.micro.ok(&["register", "service", &elsewhere.definition("far-1")]).await?;
    let called = ["call", "helloworld", "Helloworld.Call", "{}"];
    ensure!(ann.micro.ok(&called).await?.contains("hello from afar"));
    let refused = bob.micro.run(&called).await?;
    ensure!(refused.code != 0 && refused.stderr.contains("not found"), "{refused:?}");
    ensure!(!bob.micro.ok(&["list", "services"]).await?.contains("helloworld"));
    let forget = json!({"name": "helloworld"});
    let other = send(&platform, &bob.token, Method::POST, "/v1/registry/deregister", &forget).await?;
    ensure!(other.status == 404, "{other:?}");
    ensure!(ann.micro.ok(&called).await?.contains("hello from afar"));
    ensure!(elsewhere.calls.load(Ordering::SeqCst) == 2);
    Ok(())
}
