//! Objects by the requests that S3 takes: whole, and in parts. Who signs nothing is refused.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

#[derive(Default)]
pub(crate) struct Held {
    /// By bucket and key.
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// Parts of an upload that is not complete.
    pub(crate) parts: BTreeMap<u32, Bytes>,
    /// How many parts the last complete upload had.
    pub(crate) last_parts: usize,
}

type Shared = Arc<Mutex<Held>>;
type Parameters = BTreeMap<String, String>;

pub(crate) struct S3 {
    pub(crate) address: String,
    held: Shared,
}

impl S3 {
    pub(crate) fn start() -> Self {
        let held = Shared::default();
        let router = Router::new()
            .route("/{*path}", get(read).put(put).post(multipart).delete(abort))
            .layer(axum::extract::DefaultBodyLimit::max(64 << 20))
            .with_state(Arc::clone(&held));
        let (told, address) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap().to_string()).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Self { address: address.recv().unwrap(), held }
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }
}

fn is_signed(headers: &HeaderMap) -> bool {
    let value = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.starts_with("AWS4-HMAC-SHA256 Credential=key-id/")
}

fn refused() -> Response {
    (StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>").into_response()
}

async fn read(State(held): State<Shared>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    if !is_signed(&headers) {
        return refused();
    }
    match held.lock().unwrap().objects.get(&path) {
        Some(bytes) => {
            let headers = [("etag", "\"e\""), ("last-modified", "Fri, 27 Nov 2026 08:00:00 GMT")];
            (headers, bytes.clone()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code><Message>no</Message></Error>")
            .into_response(),
    }
}

async fn put(
    State(held): State<Shared>,
    Path(path): Path<String>,
    Query(query): Query<Parameters>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !is_signed(&headers) {
        return refused();
    }
    let mut held = held.lock().unwrap();
    match query.get("partNumber") {
        Some(number) => drop(held.parts.insert(number.parse().unwrap(), body)),
        None => drop(held.objects.insert(path, body.to_vec())),
    }
    [("etag", "\"e\"")].into_response()
}

async fn multipart(
    State(held): State<Shared>,
    Path(path): Path<String>,
    Query(query): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    if !is_signed(&headers) {
        return refused();
    }
    if query.contains_key("uploads") {
        return "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
            .into_response();
    }
    let mut held = held.lock().unwrap();
    let parts = std::mem::take(&mut held.parts);
    held.last_parts = parts.len();
    held.objects.insert(path, parts.into_values().flatten().collect());
    "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>".into_response()
}

async fn abort(State(held): State<Shared>) -> StatusCode {
    held.lock().unwrap().parts.clear();
    StatusCode::NO_CONTENT
}
