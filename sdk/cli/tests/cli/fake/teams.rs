//! Projects, members, limits and the operator's lists of the fake.

use std::collections::BTreeMap;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use super::accounts::{FOX, Namespace, OWL, note};
use super::{Shared, refuse};

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/v1/projects", get(projects).post(new_project))
        .route("/v1/projects/{id}/environments", post(new_environment))
        .route("/v1/members", get(members))
        .route("/v1/invitations", get(invitations).post(invite))
        .route("/v1/invitations/accept", post(accept))
        .route("/v1/limits", get(limits))
        .route("/v1/usage", get(usage))
        .route("/v1/audit", get(audit))
        .route("/v1/operator/people", get(people))
        .route("/v1/operator/people/{id}", put(change_person))
        .route("/v1/operator/namespaces", get(namespaces))
        .route("/v1/operator/namespaces/{name}", put(change_namespace))
        .route("/v1/billing", get(billing))
        .route("/v1/operator/plans", get(plans))
        .route("/v1/operator/audit", get(audit))
        .route("/v1/operator/invitations", post(operator_invite))
}

fn project(environments: &[(&str, &str)]) -> Value {
    let environment = |(namespace, name): &(&str, &str)| {
        json!({
            "namespace": namespace, "name": name, "description": "", "plan": "free", "created_ms": 0,
            "role": "owner", "blocked": false,
        })
    };
    json!({
        "id": "p1", "name": "shop", "description": "", "repository": "", "created_ms": 0,
        "environments": environments.iter().map(environment).collect::<Vec<_>>(),
    })
}

async fn projects() -> Json<Value> {
    Json(json!([project(&[(FOX, "production"), (OWL, "staging")])]))
}

async fn new_project(State(seen): State<Shared>, request: Request) -> Response {
    let body = note(&seen, request).await;
    let mut made = project(&[("tall-green-elk", "production")]);
    made["name"] = body["name"].clone();
    (StatusCode::CREATED, Json(made)).into_response()
}

async fn new_environment(State(seen): State<Shared>, request: Request) -> Response {
    let body = note(&seen, request).await;
    let name = body["namespace"].as_str().unwrap();
    let namespace = if name.is_empty() { "tall-green-elk" } else { name };
    let made = project(&[(namespace, body["name"].as_str().unwrap())])["environments"][0].clone();
    (StatusCode::CREATED, Json(made)).into_response()
}

async fn members() -> Json<Value> {
    Json(json!([
        { "id": "m1", "name": "jane", "email": "jane@example.com", "role": "owner", "joined_ms": 0 },
        { "id": "m2", "name": "joe", "email": "joe@example.com", "role": "viewer", "joined_ms": 0 },
    ]))
}

fn invitation(email: &Value, role: &str) -> Value {
    json!({
        "id": "i1", "email": email, "namespace": FOX, "role": role, "invited_by": "jane", "created_ms": 0,
        "expires_ms": 1,
    })
}

async fn invitations() -> Json<Value> {
    Json(json!([invitation(&"new@example.com".into(), "viewer")]))
}

async fn invite(State(seen): State<Shared>, request: Request) -> Response {
    let body = note(&seen, request).await;
    let mut made = invitation(&body["email"], body["role"].as_str().unwrap());
    if body["email"] == "nomail@example.com" {
        made["code"] = "hand-over".into();
    }
    (StatusCode::CREATED, Json(made)).into_response()
}

async fn accept(Json(body): Json<Value>) -> Response {
    match body["code"] == "invited" {
        true => Json(
            json!({ "namespace": OWL, "project": "shop", "environment": "staging", "role": "developer" }),
        )
        .into_response(),
        false => refuse(404, "there is no such invitation"),
    }
}

async fn limits(Extension(Namespace(namespace)): Extension<Namespace>) -> Json<Value> {
    let limit = json!({
        "name": "services", "used": 3, "max": 5, "unit": "count", "resets_ms": null,
        "at_end": "run fails until one is killed",
    });
    Json(json!({ "namespace": namespace, "plan": "free", "limits": [limit] }))
}

async fn usage(Query(query): Query<BTreeMap<String, String>>) -> Json<Value> {
    Json(json!([{
        "day": "2026-11-26", "service": "greeter", "requests": query["days"].parse::<i64>().unwrap(), "cpu_ms": 1500,
        "memory_mib_seconds": 2, "egress_bytes": 2048, "store_bytes": 10, "build_seconds": 60,
    }]))
}

/// 250 records, newest first, in pages.
async fn audit(Query(query): Query<BTreeMap<String, String>>) -> Json<Vec<Value>> {
    let limit = query["limit"].parse::<usize>().unwrap();
    assert!((1..=200).contains(&limit), "{limit}");
    let after = query.get("after").map_or(251, |after| after.parse::<usize>().unwrap());
    let record = |id: usize| {
        json!({
            "id": id.to_string(), "at_ms": id, "actor": "jane", "action": "key.create", "subject": format!("k{id}"),
            "address": "192.0.2.1", "detail": "for \"ci\"",
        })
    };
    Json((1..after).rev().take(limit).map(record).collect())
}

fn person(blocked: bool) -> Value {
    json!({
        "id": "q1", "name": "joe", "email": "joe@example.com", "operator": false, "blocked": blocked, "created_ms": 0,
        "login_ms": 0, "namespaces": 2,
    })
}

async fn people(Query(query): Query<BTreeMap<String, String>>) -> Json<Value> {
    match query.get("query").is_none_or(|query| "joe@example.com".contains(query)) {
        true => Json(json!([person(false)])),
        false => Json(json!([])),
    }
}

async fn change_person(State(seen): State<Shared>, request: Request) -> Json<Value> {
    let body = note(&seen, request).await;
    Json(person(body["blocked"] == true))
}

fn namespace_status(change: &Value) -> Value {
    let plan = change["plan"].as_str().unwrap_or("free");
    json!({
        "namespace": FOX, "plan": plan, "blocked": change["blocked"] == true, "services": 1, "members": 2,
        "requests": 3, "cpu_ms": 4, "created_ms": 0,
    })
}

async fn namespaces() -> Json<Value> {
    Json(json!([namespace_status(&Value::Null)]))
}

async fn change_namespace(State(seen): State<Shared>, request: Request) -> Json<Value> {
    Json(namespace_status(&note(&seen, request).await))
}

async fn billing() -> Json<Value> {
    let entry = json!({
        "id": "1", "at_ms": 0, "description": "requests", "amount_millicents": 1_230_000, "currency": "USD",
    });
    Json(json!({ "provider": "none", "plan": "free", "entries": [], "preview": [entry] }))
}

async fn plans() -> Json<Value> {
    let limit = json!({
        "name": "store_bytes", "used": 0, "max": 1_048_576, "unit": "bytes", "resets_ms": null, "at_end": "writes fail",
    });
    Json(json!([{ "name": "free", "limits": [limit], "price_millicents_per_month": 0 }]))
}

async fn operator_invite(State(seen): State<Shared>, request: Request) -> Response {
    let body = note(&seen, request).await;
    let mut made = invitation(&body["email"], "owner");
    made["namespace"] = "".into();
    (StatusCode::CREATED, Json(made)).into_response()
}
