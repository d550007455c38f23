//! One line a request, for operators who ask for it: target `access` at level debug.
//!
//! Queries and headers are left out: they may carry secrets.

use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, StatusCode};

/// What is noted before the request is taken apart; costs nothing while nobody listens.
pub(crate) struct Line {
    peer: HeaderValue,
    method: String,
    host: String,
    path: String,
}

impl Line {
    pub(crate) fn new(parts: &Parts, peer: &HeaderValue) -> Option<Self> {
        if !tracing::enabled!(target: "access", tracing::Level::DEBUG) {
            return None;
        }
        let header =
            parts.headers.get(http::header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
        let host = parts.uri.authority().map(ToString::to_string);
        Some(Self {
            peer: peer.clone(),
            method: parts.method.to_string(),
            host: host.or_else(|| header.map(Into::into)).unwrap_or_default(),
            path: parts.uri.path().to_owned(),
        })
    }

    /// `took` ends with the head of the answer.
    pub(crate) fn write(&self, id: &str, status: StatusCode, took: Duration) {
        tracing::debug!(
            target: "access",
            peer = ?self.peer,
            method = self.method,
            host = self.host,
            path = self.path,
            status = status.as_u16(),
            took_us = took.as_micros(),
            id,
        );
    }
}
