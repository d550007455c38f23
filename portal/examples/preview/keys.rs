//! What lets programs in: keys, rules and accounts.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use micro_api::auth::{Account, NewAccount, Rule};
use micro_api::person::{NewKey, NewKeyMade};

use super::{S, data, error};

pub(super) async fn create_key(State(fake): S, Json(new): Json<NewKey>) -> Response {
    if new.service == "missing" {
        return error(404, "service not found");
    }
    let id = format!("k{}", fake.keys.lock().len() + 10);
    let scopes = if new.scopes.is_empty() { vec!["owner".into()] } else { new.scopes };
    let key = data::key(&id, &new.description, scopes, &new.service, false);
    fake.keys.lock().push(key.clone());
    let made = NewKeyMade { key, token: format!("micro_{id}_5f2b7c9e1a3d4f6081b2c3d4e5f60718") };
    (StatusCode::CREATED, Json(made)).into_response()
}

pub(super) async fn revoke(State(fake): S, Path(id): Path<String>) -> StatusCode {
    fake.keys.lock().retain(|key| key.id != id);
    StatusCode::NO_CONTENT
}

pub(super) async fn create_rule(State(fake): S, Json(rule): Json<Rule>) -> StatusCode {
    fake.rules.lock().push(rule);
    StatusCode::NO_CONTENT
}

pub(super) async fn create_account(Json(new): Json<NewAccount>) -> Response {
    let made = Account {
        id: new.id,
        kind: "user".into(),
        issuer: data::NAMESPACE.into(),
        scopes: new.scopes,
        secret: "x7-made-for-this-page-9q".into(),
        ..Account::default()
    };
    (StatusCode::CREATED, Json(made)).into_response()
}
