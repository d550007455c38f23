//! `GET /v1/version`, `GET /v1/openapi.json`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::{Control, openapi};

/// `GET /v1/version`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct Version {
    version: String,
}

pub(crate) async fn version(State(control): State<Arc<Control>>) -> Json<Version> {
    Json(Version { version: control.config.version.clone() })
}

pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi::FILE).into_response()
}
