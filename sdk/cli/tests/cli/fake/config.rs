//! Configuration in memory, with the rules that clients and platform share.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use micro_api::config::{Change, Document, Path as At, find, flat, mask, remove, set};
use serde_json::{Value, json};

use super::{Shared, refuse};

/// What was set.
#[derive(Default)]
pub(crate) struct Config {
    document: Document,
    secrets: BTreeMap<String, String>,
    history: Vec<Change>,
}

pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/v1/config", get(read))
        .route("/v1/config/{what}", get(lists).post(write))
        .route("/v1/config/secret", post(secret))
}

impl Config {
    fn masked(&self) -> Document {
        let paths: Vec<At> = self.secrets.keys().map(|path| path.parse().unwrap()).collect();
        mask(self.document.clone(), &paths)
    }
}

async fn read(State(seen): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let seen = seen.lock().unwrap();
    let path = &query["path"];
    let masked = seen.config.masked();
    match path.parse().ok().and_then(|at| find(&masked, &at)) {
        Some(value) => {
            let secret = seen.config.secrets.contains_key(path);
            Json(json!({"path": path, "value": value, "secret": secret})).into_response()
        }
        None => refuse(404, "not found"),
    }
}

async fn secret(State(seen): State<Shared>, Json(body): Json<Value>) -> Response {
    let seen = seen.lock().unwrap();
    match seen.config.secrets.get(body["path"].as_str().unwrap()) {
        Some(value) => Json(json!({ "value": value })).into_response(),
        None => refuse(404, "not found"),
    }
}

async fn lists(State(seen): State<Shared>, Path(what): Path<String>) -> Response {
    let seen = seen.lock().unwrap();
    match what.as_str() {
        "list" => Json(flat(&seen.config.masked())).into_response(),
        "history" => Json(seen.config.history.iter().rev().collect::<Vec<_>>()).into_response(),
        "diff" => Json(json!([{"path": "a.b", "before": 1, "after": "x"}, {"path": "c", "after": {}}]))
            .into_response(),
        other => refuse(404, &format!("no route {other}")),
    }
}

async fn write(State(seen): State<Shared>, Path(what): Path<String>, Json(body): Json<Value>) -> Response {
    let config = &mut seen.lock().unwrap().config;
    let path = body["path"].as_str().unwrap_or_default().to_owned();
    match what.as_str() {
        "set" if body["secret"] == true => {
            config.secrets.insert(path.clone(), body["value"].as_str().unwrap().to_owned());
        }
        "set" => {
            if let Err(error) = set(&mut config.document, &path.parse().unwrap(), body["value"].clone()) {
                return refuse(409, &error.to_string());
            }
        }
        "delete" => {
            remove(&mut config.document, &path.parse().unwrap());
            config.secrets.remove(&path);
            return StatusCode::NO_CONTENT.into_response();
        }
        _ => {}
    }
    let version = i64::try_from(config.history.len()).unwrap() + 1;
    let change =
        Change { version, by: "ann".into(), action: what, path, sha256: "0123456789abcdef".into(), at_ms: 0 };
    config.history.push(change.clone());
    Json(change).into_response()
}
