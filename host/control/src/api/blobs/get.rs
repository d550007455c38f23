//! `GET /v1/blobs/object`: the bytes, streamed. A blob that turns out to be damaged breaks off.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use micro_api::blob::At;

use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::Query;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Query(at): Query<At>,
) -> Result<Response, Error> {
    let (info, body) = control.node.blob_get(&caller.namespace, &at).await?;
    let body = body.take_until(caller.revoked(&control));
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    // Never as what it says to be: a page of somebody's must not run where people are signed in.
    for (name, value) in [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_DISPOSITION, "attachment"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(info.size));
    Ok(response)
}
