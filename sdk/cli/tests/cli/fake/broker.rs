//! Messages: the topic `full` is full; whatever is asked to be moved is moved.

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use micro_api::Error;
use serde_json::{Value, json};

use super::Shared;

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/v1/broker/publish", post(publish))
        .route("/v1/broker/groups", get(|| async { Json(json!([])) }).delete(forget))
        .route("/v1/broker/dead", get(|| async { Json(json!([])) }))
        .route("/v1/broker/redrive", post(moved))
        .route("/v1/broker/discard", post(moved))
}

async fn publish(Json(publish): Json<Value>) -> Response {
    if publish["topic"] == "full" {
        let error = Error::new("go.micro.broker", 429, "the backlog of the group `mailer` is full");
        return (StatusCode::TOO_MANY_REQUESTS, Json(error)).into_response();
    }
    assert_eq!(publish, json!({"topic": "event", "message": {"hello": "world"}}));
    StatusCode::NO_CONTENT.into_response()
}

async fn forget(Query(which): Query<BTreeMap<String, String>>) -> Response {
    if which["queue"] == "mailer" {
        return StatusCode::NO_CONTENT.into_response();
    }
    super::refuse(404, "there is no such group")
}

async fn moved(Json(filter): Json<Value>) -> Json<Value> {
    let named = filter["ids"].as_array().map_or(0, Vec::len);
    Json(json!({"messages": named.max(1)}))
}
