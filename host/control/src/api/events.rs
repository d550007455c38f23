//! `/v1/events`.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream::StreamExt;
use micro_api::Error as ApiError;
use micro_api::broker::is_topic;
use micro_api::events::{Ack, Consume, Consumed, Event, Group, Offset, Publish, Published};
use serde::{Deserialize, Serialize};

use crate::Control;
use crate::authz::{Authorized, Deploy, Read};
use crate::error::Error;
use crate::extract::{self, Query};

const ID: &str = "events";
/// Events of a page when the client names no number: Micro's default.
const LIMIT: usize = 250;
/// Events of a page that a client can ask for.
const LIMIT_MAX: usize = 1_000;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct Which {
    #[serde(default)]
    topic: String,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct Page {
    #[serde(default)]
    topic: String,
    /// `start` when absent, `end`, a position, or a time as RFC 3339 writes it.
    after: Option<String>,
    /// At most so many events, 1 to 1 000; 250 when absent.
    limit: Option<usize>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct Span {
    #[serde(default)]
    topic: String,
    /// `start`, `end` when absent, a position, or a time as RFC 3339 writes it.
    after: Option<String>,
}

pub(crate) async fn publish(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(publish): extract::Json<Publish>,
) -> Result<Json<Published>, Error> {
    check(&publish.topic)?;
    Ok(Json(control.node.events_publish(&caller.namespace, publish).await?))
}

pub(crate) async fn read(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Query(Page { topic, after, limit }): Query<Page>,
) -> Result<Json<Vec<Event>>, Error> {
    check(&topic)?;
    let from = offset(after.as_deref(), Offset::Start)?;
    let limit = limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::bad_request(ID, format!("`limit` is 1 to {LIMIT_MAX} events")).into());
    }
    Ok(Json(control.node.events_read(&caller.namespace, &topic, from, limit).await?))
}

pub(crate) async fn stream(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Query(Span { topic, after }): Query<Span>,
) -> Result<Response, Error> {
    check(&topic)?;
    let from = offset(after.as_deref(), Offset::End)?;
    let events = control.node.events_stream(&caller.namespace, &topic, from).await?;
    let lines = events.take_until(caller.revoked(&control)).map(|event| match event {
        Ok(event) => line(&event),
        // The client knows an error by its shape, and the stream ends with it.
        Err(error) => line(&error),
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

pub(crate) async fn consume(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(consume): extract::Json<Consume>,
) -> Result<Json<Consumed>, Error> {
    check(&consume.topic)?;
    Ok(Json(control.node.events_consume(&caller.namespace, consume).await?))
}

pub(crate) async fn ack(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(ack): extract::Json<Ack>,
) -> Result<StatusCode, Error> {
    check(&ack.topic)?;
    control.node.events_ack(&caller.namespace, ack).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn groups(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Query(Which { topic }): Query<Which>,
) -> Result<Json<Vec<Group>>, Error> {
    check(&topic)?;
    Ok(Json(control.node.events_groups(&caller.namespace, &topic).await?))
}

/// A dead-letter topic's name may be longer than others by its `.dead`.
fn check(topic: &str) -> Result<(), ApiError> {
    if topic.is_empty() {
        return Err(ApiError::bad_request(ID, "Missing topic"));
    }
    if !is_topic(topic.strip_suffix(".dead").unwrap_or(topic)) {
        let text = "a topic has 1 to 256 bytes: letters, digits, `_` and `-`, joined by dots";
        return Err(ApiError::bad_request(ID, text));
    }
    Ok(())
}

fn offset(text: Option<&str>, absent: Offset) -> Result<Offset, ApiError> {
    text.map_or(Ok(absent), |text| text.parse().map_err(|error| bad(&error)))
}

fn bad(error: &micro_api::events::OffsetError) -> ApiError {
    ApiError::bad_request(ID, error.to_string())
}

fn line(value: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line.into())
}
