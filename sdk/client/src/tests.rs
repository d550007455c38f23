//! The client against a small server in this process.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes as Body_, to_bytes};
use axum::extract::{Query as AxumQuery, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use futures::TryStreamExt;
use micro_api::ServiceName;
use micro_api::broker::Filter;
use micro_api::events::Ack;
use micro_api::store::{Query, Write};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

async fn serve(router: Router) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Client::new(address.parse().unwrap()).unwrap()
}

fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

#[tokio::test]
async fn nobody_there_says_how_to_start_a_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = Client::new(address.parse().unwrap()).unwrap().version().await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }) && error.is_unreachable());
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot reach a server at {address}: ")), "{text}");
    assert!(text.contains("`micro server`") && text.contains("`micro env set NAME`"), "{text}");
}

#[tokio::test]
async fn errors_are_the_servers_object() {
    let object = json!({"id": "micro", "code": 404, "detail": "service not found", "status": "Not Found"});
    let router = Router::new()
        .route(
            "/v1/registry/services/{name}",
            get(move || async move { (StatusCode::NOT_FOUND, Json(object)) }),
        )
        .route("/v1/registry/services", get(|| async { (StatusCode::BAD_GATEWAY, "upstream is away") }))
        .route("/v1/version", get(|| async { "<html>" }));
    let client = serve(router).await;
    let error = client.registry_get(&name("nosuch")).await.unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), (404, "service not found"));
    let error = client.registry_list().await.unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), (502, "upstream is away"));
    let error = client.version().await.unwrap_err();
    assert!(error.to_string().contains("does not answer as a Micro server does"), "{error}");
}

#[tokio::test]
async fn paths_and_queries_are_encoded() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let router = Router::new().fallback(move |request: Request| {
        let record = Arc::clone(&record);
        async move {
            let kind = request.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
            let line = format!("{} {}", request.method(), request.uri());
            let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
            record.lock().unwrap().push((line, kind, String::from_utf8(body.to_vec()).unwrap()));
            StatusCode::NO_CONTENT
        }
    });
    let client = serve(router).await;
    let write = Write { key: "k".into(), value: "dg==".into(), ttl_ms: None };
    client.store_write("a/b ü", &write).await.unwrap();
    client.store_delete("t", "k").await.unwrap();
    let _ = client.kill(&name("api.greeter"), "feature/x").await;
    let _ = client.store_read("t", &Query { key: "k".into(), ..Query::default() }).await;
    let filter = Filter { topic: Some("a&b".into()), ..Filter::default() };
    let _ = client.broker_dead(&filter, 7).await;
    client.broker_forget("t", "q&r").await.unwrap();
    let runs = RunQuery { service: Some("a&b".into()), limit: 7, ..RunQuery::default() };
    let _ = client.jobs_runs(&runs).await;
    let _ = client.jobs(Some("a&b")).await;
    let _ = client.events_read("t", "2026-01-31T08:00:00+01:00", 7).await;
    let _ = client.events_groups("a&b").await;
    drop(client.events_stream("t", "end").await.unwrap());
    client.events_ack(&Ack::default()).await.unwrap();
    let seen = seen.lock().unwrap();
    let lines: Vec<_> = seen.iter().map(|(line, ..)| line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "POST /v1/store/a%2Fb%20%C3%BC/write",
            "POST /v1/store/t/delete",
            "DELETE /v1/services/api.greeter?version=feature%2Fx",
            "POST /v1/store/t/read",
            "GET /v1/broker/dead?limit=7&topic=a%26b",
            "DELETE /v1/broker/groups?topic=t&queue=q%26r",
            "GET /v1/jobs/runs?limit=7&service=a%26b",
            "GET /v1/jobs?service=a%26b",
            "GET /v1/events/read?topic=t&after=2026-01-31T08%3A00%3A00%2B01%3A00&limit=7",
            "GET /v1/events/groups?topic=a%26b",
            "GET /v1/events/stream?topic=t&after=end",
            "POST /v1/events/ack",
        ]
    );
    assert!(
        seen.iter()
            .filter(|(line, ..)| line.starts_with("POST"))
            .all(|(_, kind, _)| kind.as_deref() == Some("application/json"))
    );
    assert_eq!(seen[0].2, r#"{"key":"k","value":"dg=="}"#);
}

#[tokio::test]
async fn log_lines_arrive_over_chunk_borders() {
    let record = |message: &str| json!({"timestamp": 1, "metadata": {}, "message": message}).to_string();
    let text = format!("{}\n\n{}\n{}", record("one"), record("tw\u{f6}"), record("three"));
    let router = Router::new().route(
        "/v1/services/{name}/logs",
        get(move |AxumQuery(query): AxumQuery<BTreeMap<String, String>>| async move {
            assert_eq!((query["lines"].as_str(), query["follow"].as_str()), ("15", "true"));
            let chunks: Vec<_> = text.into_bytes().chunks(7).map(Body_::copy_from_slice).collect();
            Body::from_stream(futures::stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>)))
        }),
    );
    let client = serve(router).await;
    let query = LogQuery { lines: Some(15), follow: true, ..LogQuery::default() };
    let records: Vec<_> = client.logs(&name("x"), &query).await.unwrap().try_collect().await.unwrap();
    let messages: Vec<_> = records.iter().map(|record| record.message.as_str()).collect();
    assert_eq!(messages, ["one", "tw\u{f6}", "three"]);
}

#[tokio::test]
async fn an_endless_log_line_is_refused() {
    let router = Router::new().route(
        "/v1/services/{name}/logs",
        get(|| async {
            let chunk = Body_::from(vec![b'a'; 64 << 10]);
            Body::from_stream(futures::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone())))
        }),
    );
    let client = serve(router).await;
    let logs = client.logs(&name("x"), &LogQuery::default()).await.unwrap();
    let error = logs.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.to_string().ends_with("a line is too long"), "{error}");
}

#[tokio::test]
async fn uploads_report_their_progress() {
    let router = Router::new().route(
        "/v1/uploads",
        post(|headers: HeaderMap, body: Body_| async move {
            assert_eq!(headers["content-type"], "application/gzip");
            assert_eq!(headers["content-length"], body.len().to_string());
            (StatusCode::CREATED, Json(json!({"id": "u1", "size": body.len()})))
        }),
    );
    let client = serve(router).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![7; 200_000]).unwrap();
    let seen = Arc::new(Mutex::new(0));
    let last = Arc::clone(&seen);
    let upload = client.upload(file.path(), move |sent| *last.lock().unwrap() = sent).await.unwrap();
    assert_eq!((upload.id.as_str(), upload.size, *seen.lock().unwrap()), ("u1", 200_000, 200_000));
}

#[tokio::test]
async fn a_wait_names_what_was_seen() {
    let deployment = json!({
        "id": "d", "namespace": "default", "service": "x", "version": "latest", "state": "running", "stages": [],
        "source": {"kind": "upload", "upload": "u", "folder": ""}, "source_given": "x", "created_ms": 1, "updated_ms": 2,
    });
    let router = Router::new().route(
        "/v1/deployments/{id}",
        get(move |AxumQuery(query): AxumQuery<BTreeMap<String, String>>| async move {
            assert_eq!((query["wait_ms"].as_str(), query["seen"].as_str()), ("1500", "7"));
            Json(deployment)
        }),
    );
    let client = serve(router).await;
    let wait = Wait { seen_ms: 7, time: Duration::from_millis(1_500) };
    assert!(client.deployment("d", Some(wait)).await.unwrap().state.is_settled());
}

#[tokio::test]
async fn calls_carry_metadata_as_headers() {
    let router = Router::new().route(
        "/rpc",
        post(|headers: HeaderMap, Json(body): Json<Value>| async move {
            Json(json!({"trace": headers["x-trace"].to_str().unwrap(), "body": body}))
        }),
    );
    let client = serve(router.route("/unused", delete(|| async {}))).await;
    let mut call = Call {
        service: "greeter".into(),
        endpoint: "Say.Hello".into(),
        request: json!({"name": "Jane"}),
        metadata: vec![("X-Trace".into(), "t".into())],
    };
    let reply: Value = serde_json::from_slice(&client.call(&call).await.unwrap()).unwrap();
    let body = json!({"service": "greeter", "endpoint": "Say.Hello", "request": {"name": "Jane"}});
    assert_eq!(reply, json!({"trace": "t", "body": body}));
    call.metadata = vec![("bad name".into(), "t".into())];
    assert_eq!(client.call(&call).await.unwrap_err().code(), 400);
}
