//! Blobs in memory.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use micro_api::blob::{At, BlobUrl, Info, NewUrl, Put, Query as Page};

use super::{Shared, refuse};

/// By service and key.
pub(crate) type Blobs = BTreeMap<(String, String), (Info, Bytes)>;

pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/v1/blobs", get(list))
        .route("/v1/blobs/object", get(read).put(put).delete(delete))
        .route("/v1/blobs/url", post(url))
}

async fn put(State(seen): State<Shared>, Query(put): Query<Put>, body: Bytes) -> Response {
    if body.len() > 5_000_000 {
        return refuse(403, "limit: blob_bytes: the plan of this namespace allows 5000000 bytes");
    }
    let info = Info {
        key: put.key.clone(),
        size: body.len() as u64,
        content_type: put.content_type,
        digest: "ab".repeat(32),
        public: put.public,
        ..Info::default()
    };
    seen.lock().unwrap().blobs.insert((put.service, put.key), (info.clone(), body));
    Json(info).into_response()
}

async fn read(State(seen): State<Shared>, Query(at): Query<At>) -> Response {
    match seen.lock().unwrap().blobs.get(&(at.service, at.key)) {
        Some((_, bytes)) => bytes.clone().into_response(),
        None => refuse(404, "not found"),
    }
}

async fn url(State(seen): State<Shared>, Json(new): Json<NewUrl>) -> Response {
    let seen = seen.lock().unwrap();
    let Some((info, _)) = seen.blobs.get(&(new.service, new.key)) else { return refuse(404, "not found") };
    if new.expires_in_s.is_none() && !info.public {
        return refuse(400, "this blob is not public: say for how long its URL is to be signed");
    }
    let signature = new.expires_in_s.map(|seconds| format!("?expires={seconds}")).unwrap_or_default();
    let url = format!("http://localhost/.micro/blob/{}{signature}", info.key);
    Json(BlobUrl { url, expires_ms: new.expires_in_s.map(|seconds| seconds as i64 * 1_000) }).into_response()
}

async fn delete(State(seen): State<Shared>, Query(at): Query<At>) -> StatusCode {
    seen.lock().unwrap().blobs.remove(&(at.service, at.key));
    StatusCode::NO_CONTENT
}

async fn list(State(seen): State<Shared>, Query(page): Query<Page>) -> Json<Vec<Info>> {
    let seen = seen.lock().unwrap();
    let own = seen.blobs.iter().filter(|((service, _), _)| *service == page.service);
    let after = page.after.unwrap_or_default();
    let found = own.filter(|((_, key), _)| key.starts_with(&page.prefix) && *key > after);
    let limit = page.limit.map_or(1_000, |limit| limit.min(1_000) as usize);
    Json(found.take(limit).map(|(_, (info, _))| info.clone()).collect())
}
