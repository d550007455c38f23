//! A control API that answers from memory.
//!
//! Services: `helloworld` runs; `busy` runs already; a deployment of `broken` fails in the build; any other runs at
//! the third question.

pub(crate) mod accounts;
mod blob;
mod broker;
mod config;
mod events;
mod jobs;
pub(crate) mod s3;
mod teams;
mod transfer;

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use micro_api::Error;
use serde_json::{Value, json};

/// What came in.
#[derive(Default)]
pub(crate) struct Seen {
    /// Method and body of each `/v1/services` request that changes something.
    pub(crate) deployments: Vec<(String, Value)>,
    pub(crate) uploads: Vec<Vec<u8>>,
    pub(crate) log_queries: Vec<BTreeMap<String, String>>,
    pub(crate) accounts: accounts::Accounts,
    blobs: blob::Blobs,
    config: config::Config,
    questions: BTreeMap<String, usize>,
    pub(crate) store: BTreeMap<String, BTreeMap<String, Value>>,
    pub(crate) transfers: transfer::Transfers,
}

type Shared = Arc<Mutex<Seen>>;

/// A server on a thread of its own; it ends with the test.
pub(crate) struct Fake {
    pub(crate) address: String,
    seen: Shared,
}

impl Fake {
    /// Whoever comes may do everything.
    pub(crate) fn start() -> Self {
        Self::listen(None)
    }

    /// Only those with a credential may.
    pub(crate) fn guarded() -> Self {
        let fake = Self::listen(None);
        fake.seen().accounts.guarded = true;
        fake
    }

    /// As the server of this machine: on a socket, too, whose user needs no credential.
    pub(crate) fn on_socket(path: &FilePath) -> Self {
        let fake = Self::listen(Some(path.to_owned()));
        fake.seen().accounts.guarded = true;
        fake
    }

    fn listen(socket: Option<PathBuf>) -> Self {
        let seen = Shared::default();
        let router = router(Arc::clone(&seen));
        let (told, address) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                if let Some(path) = socket {
                    let socket = tokio::net::UnixListener::bind(path).unwrap();
                    tokio::spawn(accounts::serve_socket(socket, router.clone()));
                }
                told.send(listener.local_addr().unwrap().to_string()).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Self { address: address.recv().unwrap(), seen }
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

fn router(seen: Shared) -> Router {
    Router::new()
        .route("/v1/version", get(|| async { Json(json!({ "version": "0.1.0" })) }))
        .route("/v1/services", get(services).post(run).put(update))
        .route("/v1/services/{name}", axum::routing::delete(kill))
        .route("/v1/services/{name}/logs", get(logs))
        .route("/v1/services/{name}/health", get(health))
        .route("/v1/services/{name}/stats", get(stats))
        .route("/v1/deployments/{id}", get(deployment))
        .route("/v1/uploads", post(upload))
        .route("/v1/registry/services", get(|| async { Json(["api", "helloworld", "registry"]) }))
        .route("/v1/registry/services/{name}", get(registry))
        .merge(broker::router())
        .merge(jobs::router())
        .merge(events::router())
        .route("/v1/store/{table}/{action}", post(store))
        .route("/v1/store/databases", get(|| async { Json(["default"]) }))
        .route("/v1/store/tables", get(|| async { Json(["helloworld", "micro"]) }))
        .route("/rpc", post(rpc))
        .merge(accounts::router())
        .merge(blob::router())
        .merge(config::router())
        .merge(transfer::router())
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&seen), accounts::guard))
        .layer(axum::extract::DefaultBodyLimit::max(64 << 20))
        .with_state(seen)
}

fn refuse(code: u16, detail: &str) -> Response {
    let status = StatusCode::from_u16(code).unwrap();
    (status, Json(Error::new("micro", code, detail))).into_response()
}

fn row(name: &str, version: &str, status: &str, build: &str) -> Value {
    let mut metadata = json!({ "owner": "", "group": "" });
    if status == "error" {
        metadata["error"] = "Error building service: Expected `;`\nand more".into();
    }
    json!({
        "name": name, "version": version, "source": format!("github.com/micro/services/{name}"), "status": status,
        "build": build, "updated_ms": 0, "metadata": metadata, "deployment": "d",
    })
}

/// One service has another name than its source.
const RENAMED: &str = "https://git.example.com/team/repo.git";

async fn services(Query(query): Query<BTreeMap<String, String>>) -> Json<Vec<Value>> {
    let mut renamed = row("renamed", "latest", "running", "");
    renamed["source"] = RENAMED.into();
    let rows = [
        row("broken", "latest", "error", ""),
        row("helloworld", "latest", "running", ""),
        row("ref-only", "v2", "running", "9342934e618012"),
        renamed,
    ];
    let wanted = |key: &str, row: &Value| query.get(key).is_none_or(|value| row[key] == *value);
    Json(rows.into_iter().filter(|row| wanted("name", row) && wanted("version", row)).collect())
}

fn answer(request: &Value, state: &str, stages: Value) -> Value {
    let mut deployment = json!({
        "id": format!("d-{}", request["name"].as_str().unwrap()), "namespace": "default",
        "service": request["name"], "version": request["version"], "source": request["source"],
        "source_given": request["source_given"], "state": state, "stages": stages, "created_ms": 1, "updated_ms": 1,
    });
    if state == "failed" {
        let detail =
            "Error building service: expected `;` (src/lib.rs:3:9)\nerror: expected `;`\n --> src/lib.rs:3:9";
        deployment["error"] = json!(Error::new("builder", 400, detail));
    }
    deployment
}

async fn run(State(seen): State<Shared>, Json(request): Json<Value>) -> Response {
    seen.lock().unwrap().deployments.push(("POST".into(), request.clone()));
    if request["name"] == "busy" {
        return refuse(409, "service already running");
    }
    (StatusCode::ACCEPTED, Json(answer(&request, "queued", json!([])))).into_response()
}

async fn update(State(seen): State<Shared>, Json(request): Json<Value>) -> Response {
    let mut seen = seen.lock().unwrap();
    let known = request["name"] == "renamed"
        || seen
            .deployments
            .iter()
            .any(|(method, known)| method == "POST" && known["name"] == request["name"]);
    if !known {
        return refuse(404, "service not found");
    }
    seen.questions.clear();
    seen.deployments.push(("PUT".into(), request.clone()));
    (StatusCode::ACCEPTED, Json(answer(&request, "queued", json!([])))).into_response()
}

async fn kill(
    State(seen): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    assert_eq!(headers["content-type"], "application/json");
    if name == "nosuch" {
        return refuse(404, "service not found");
    }
    let source = json!({ "kind": "upload", "upload": "u", "folder": "" });
    let request = json!({ "name": name, "version": query["version"], "source": source, "source_given": "" });
    seen.lock().unwrap().deployments.push(("DELETE".into(), request.clone()));
    Json(answer(&request, "stopped", json!([]))).into_response()
}

async fn deployment(State(seen): State<Shared>, Path(id): Path<String>) -> Response {
    let mut seen = seen.lock().unwrap();
    let count = seen.questions.entry(id.clone()).or_default();
    *count += 1;
    let count = *count;
    let name = id.trim_start_matches("d-");
    let Some((_, request)) = seen.deployments.iter().rev().find(|(_, request)| request["name"] == name)
    else {
        return refuse(404, "deployment not found");
    };
    let done = |stage: &str, cached: bool| json!({"stage": stage, "started_ms": 1, "duration_ms": 1250, "cached": cached});
    let mut deployment = match (count, name) {
        (1, _) => answer(request, "fetching", json!([{ "stage": "fetch", "started_ms": 1 }])),
        (2, _) => {
            answer(request, "building", json!([done("fetch", true), { "stage": "build", "started_ms": 1 }]))
        }
        (_, "broken") => answer(request, "failed", json!([done("fetch", true), done("build", false)])),
        _ => answer(request, "running", json!([done("fetch", true), done("build", false)])),
    };
    deployment["updated_ms"] = (count + 1).into();
    Json(deployment).into_response()
}

async fn logs(
    State(seen): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let messages: &[&str] = match (name.as_str(), query["build"].as_str()) {
        ("helloworld", "false") => &["Starting [service] helloworld", "Response:  Hello John"],
        ("broken", "true") => &["error: expected `;`", " --> src/lib.rs:3:9"],
        _ => return refuse(404, "service not found; did you mean `helloworld`?"),
    };
    seen.lock().unwrap().log_queries.push(query);
    let line = |message: &&str| {
        json!({"timestamp": 7, "metadata": {"level": "info"}, "message": message}).to_string()
    };
    messages.iter().map(line).collect::<Vec<_>>().join("\n").into_response()
}

async fn health(Path(name): Path<String>) -> Response {
    if name == "nosuch" {
        return refuse(404, "service not found");
    }
    let status = if name == "broken" { "cannot load" } else { "ok" };
    let node = format!("{name}-1");
    Json(json!([{ "service": name, "version": "latest", "node": node, "address": "127.0.0.1:8080", "status": status }]))
        .into_response()
}

async fn stats(Path(name): Path<String>) -> Response {
    Json(json!([{
        "service": name, "version": "latest", "node": "n", "address": "127.0.0.1:8080", "started_ms": 1000,
        "uptime_ms": 365_000, "memory": 1_048_576, "threads": 1, "gc": 0, "requests": 3, "errors": 0, "cpu_ms": 1,
        "p50_us": 2, "p99_us": 3,
    }]))
    .into_response()
}

async fn upload(State(seen): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers["content-type"], "application/gzip");
    let mut seen = seen.lock().unwrap();
    seen.uploads.push(body.to_vec());
    let id = format!("upload-{}", seen.uploads.len());
    (StatusCode::CREATED, Json(json!({ "id": id, "size": body.len() }))).into_response()
}

async fn registry(Path(name): Path<String>) -> Response {
    if name != "helloworld" {
        return refuse(404, "service not found");
    }
    let field = |name: &str| json!({ "name": name, "type": "string", "values": [] });
    let metadata = json!({ "subscriber": "true", "topic": "orders.created,audit" });
    Json(json!([{
        "name": "helloworld", "version": "latest", "metadata": {},
        "nodes": [{ "id": "helloworld-1", "address": "127.0.0.1:8080", "metadata": { "runtime": "wasm", "build": "n" } }],
        "endpoints": [{
            "name": "Helloworld.Call", "metadata": metadata,
            "request": { "name": "Request", "type": "Request", "values": [field("name")] },
            "response": { "name": "Response", "type": "Response", "values": [field("msg")] },
        }],
    }]))
    .into_response()
}

async fn store(
    State(seen): State<Shared>,
    Path((table, action)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Response {
    let mut seen = seen.lock().unwrap();
    let table = seen.store.entry(table).or_default();
    let key = body["key"].as_str().unwrap().to_owned();
    match action.as_str() {
        "write" => {
            let record = json!({ "key": key, "value": body["value"], "expiry_ms": body["ttl_ms"] });
            table.insert(key, record);
            StatusCode::NO_CONTENT.into_response()
        }
        "delete" => {
            table.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        action => {
            let list = action == "list";
            let prefix = body["prefix"] == true;
            let fits = |name: &str| if prefix || list { name.starts_with(&key) } else { name == key };
            let offset = usize::try_from(body["offset"].as_u64().unwrap()).unwrap();
            let limit = match body["limit"].as_u64().unwrap() {
                0 => usize::MAX,
                limit => usize::try_from(limit).unwrap(),
            };
            let found: Vec<_> =
                table.iter().filter(|(name, _)| fits(name)).skip(offset).take(limit).collect();
            if found.is_empty() && !prefix && !list {
                return refuse(404, "not found");
            }
            match list {
                true => Json(json!(found.iter().map(|(name, _)| name).collect::<Vec<_>>())).into_response(),
                false => {
                    Json(json!(found.iter().map(|(_, record)| record).collect::<Vec<_>>())).into_response()
                }
            }
        }
    }
}

/// `Ticker.Stream` counts to `count` and then fails if that is 3.
fn ticks(count: u64) -> Response {
    let envelope = |flags: u8, message: Value| {
        let message = message.to_string();
        [&[flags][..], u32::try_from(message.len()).unwrap().to_be_bytes().as_slice(), message.as_bytes()]
            .concat()
    };
    let mut body: Vec<u8> = (1..=count).flat_map(|tick| envelope(0, json!({ "count": tick }))).collect();
    let error = Error::conflict("ticker", "it has ticked enough");
    body.extend(match count {
        3 => envelope(
            2,
            json!({ "error": { "code": "already_exists", "message": error.detail, "micro": error } }),
        ),
        _ => envelope(2, json!({})),
    });
    ([("content-type", "application/connect+json")], body).into_response()
}

async fn rpc(headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let service = body["service"].as_str().unwrap();
    let streams = headers["accept"] == "application/connect+json";
    match service.rsplit('.').next() {
        Some("helloworld") => {
            let name = body["request"]["name"].as_str().unwrap_or_default();
            format!(r#"{{"msg":"Hello {name}","n":1.0}}"#).into_response()
        }
        Some("ticker") if streams => ticks(body["request"]["count"].as_u64().unwrap_or_default()),
        Some("ticker") => {
            ([("content-type", "application/x-ndjson")], "{\"count\":1}\n{\"count\":2}\n").into_response()
        }
        Some("silent") => StatusCode::NO_CONTENT.into_response(),
        _ => (StatusCode::NOT_FOUND, Json(Error::not_found("go.micro.rpc", "service not found")))
            .into_response(),
    }
}
