//! Schedules: `helloworld` has one, which ran once; nothing else has any.

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Shared;

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/v1/jobs", get(list))
        .route("/v1/jobs/runs", get(runs))
        .route("/v1/jobs/run", post(run))
}

fn one(state: &str) -> Value {
    json!({
        "id": "r1", "service": "helloworld", "version": "latest", "schedule": "nightly", "tick_ms": 5,
        "state": state, "by_hand": false, "attempts": 1, "node": "n1", "started_ms": 0, "ended_ms": 250,
    })
}

async fn list(Query(query): Query<BTreeMap<String, String>>) -> Json<Value> {
    if query.get("service").is_some_and(|service| service != "helloworld") {
        return Json(json!([]));
    }
    Json(json!([{
        "service": "helloworld", "version": "latest", "name": "nightly", "cron": "@daily", "zone": "UTC",
        "endpoint": "Helloworld.Call", "jitter_ms": 0, "overlap": "skip", "missed": "skip", "retry": false,
    }]))
}

async fn runs(Query(query): Query<BTreeMap<String, String>>) -> Json<Value> {
    match query.get("service").map(String::as_str) {
        Some("helloworld") => Json(json!([one("ok")])),
        _ => Json(json!([])),
    }
}

async fn run(Json(start): Json<Value>) -> Response {
    if start["service"] == "busy" {
        return super::refuse(409, "a run of nightly is still under way, and its schedule allows one");
    }
    assert_eq!(start["service"], "helloworld");
    (StatusCode::ACCEPTED, Json(one("running"))).into_response()
}
