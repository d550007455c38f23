//! Events: the topic `audit` has one, and nothing else has any.

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Shared;

type Asked = Query<BTreeMap<String, String>>;

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/v1/events/publish", post(publish))
        .route("/v1/events/read", get(read))
        .route("/v1/events/stream", get(stream))
        .route("/v1/events/groups", get(groups))
}

async fn publish(Json(publish): Json<Value>) -> Response {
    if publish["topic"] == "audit.dead" {
        return super::refuse(
            403,
            "topics that end in `.dead` are the platform's: nobody else publishes to them",
        );
    }
    assert_eq!(publish, json!({"topic": "audit", "message": {"did": "login"}, "metadata": {"k": "v"}}));
    Json(json!({"id": "e1", "position": 1, "timestamp_ms": 7})).into_response()
}

fn event() -> Value {
    json!({"id": "e1", "topic": "audit", "position": 1, "timestamp_ms": 7, "metadata": {"k": "v"}, "payload": "e30="})
}

async fn read(Query(asked): Asked) -> Json<Value> {
    Json(if asked["topic"] == "audit" && asked["after"] != "1" { json!([event()]) } else { json!([]) })
}

/// Ends with the error that a broken stream ends with.
async fn stream(Query(asked): Asked) -> String {
    assert_eq!(asked["after"], "start");
    let error =
        json!({"id": "events", "code": 503, "detail": "the log broke", "status": "Service Unavailable"});
    format!("{}\n{error}\n", event())
}

async fn groups(Query(asked): Asked) -> Json<Value> {
    let group = json!({"topic": "audit", "group": "counter", "cursor": 1, "pending": 0, "behind": 2});
    Json(if asked["topic"] == "audit" { json!([group]) } else { json!([]) })
}
