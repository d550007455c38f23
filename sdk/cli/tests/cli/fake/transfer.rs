//! Export and import of tables: pages of two records. A record with the key `away` fails once with 503, one with the key
//! `full` is always refused; a table with a key `broken` cannot be read.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use micro_api::store::{Export, Import, Imported, Kept, Page};
use serde_json::json;

use super::{Shared, refuse};

#[derive(Default)]
pub(crate) struct Transfers {
    /// Ids of the batches that came.
    pub(crate) batches: Vec<String>,
    failed: bool,
}

pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/v1/store/{table}/export", post(export))
        .route("/v1/store/{table}/import", post(import))
}

async fn export(
    State(seen): State<Shared>,
    Path(table): Path<String>,
    Json(export): Json<Export>,
) -> Response {
    let mut seen = seen.lock().unwrap();
    let table = seen.store.entry(table).or_default();
    if table.contains_key("broken") {
        return refuse(500, "the store failed");
    }
    let after = export.after.unwrap_or_default();
    let mut rest = table.iter().filter(|(key, _)| **key > after);
    let kept = |(key, record): (&String, &serde_json::Value)| Kept {
        key: key.clone(),
        value: record["value"].as_str().unwrap().to_owned(),
        expires_ms: record["expires_ms"].as_u64(),
    };
    let records: Vec<_> = rest.by_ref().take(2).map(kept).collect();
    Json(Page { records, more: rest.next().is_some() }).into_response()
}

async fn import(
    State(seen): State<Shared>,
    Path(table): Path<String>,
    Json(import): Json<Import>,
) -> Response {
    let mut seen = seen.lock().unwrap();
    seen.transfers.batches.push(import.id);
    let has = |key: &str| import.records.iter().any(|record| record.key == key);
    if has("away") && !std::mem::replace(&mut seen.transfers.failed, true) {
        return refuse(503, "the store does not answer: try again");
    }
    if has("full") {
        return refuse(403, "limit: store_bytes: the plan of this namespace allows no more");
    }
    let table = seen.store.entry(table).or_default();
    let mut told = Imported::default();
    for Kept { key, value, expires_ms } in import.records {
        if expires_ms.is_some_and(|at| at < 1_000_000) {
            told.expired += 1;
        } else if table.contains_key(&key) && !import.replace {
            told.kept += 1;
        } else {
            told.written += 1;
            table.insert(key, json!({"value": value, "expires_ms": expires_ms}));
        }
    }
    Json(told).into_response()
}
