//! `GET /v1/registry/watch`: all that is there, then what changes. One JSON object a line.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use micro_api::registry::{Action, Change, Changes};
use micro_api::{Namespace, ServiceName};
use serde::Deserialize;

use crate::Control;
use crate::api::service_name;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::Query;

const ID: &str = "registry";
/// While nothing changes there is a line this often, so that both ends know of each other.
const BEAT: Duration = Duration::from_secs(15);
/// Bytes of a place; a longer one is none.
const AFTER_BYTES_MAX: usize = 1_024;

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
pub(crate) struct Which {
    /// Only this service.
    service: Option<String>,
    /// The `revision` of the last line that was read; absent: all that is there comes first.
    after: Option<String>,
}

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Query(which): Query<Which>,
) -> Result<Response, Error> {
    let named = which.service.as_deref().filter(|name| !name.is_empty());
    let service = named.map(|name| service_name(ID, name)).transpose()?;
    let after = which.after.filter(|after| !after.is_empty() && after.len() <= AFTER_BYTES_MAX);
    let revoked = caller.revoked(&control);
    let follow = Follow { control, namespace: caller.namespace, service, after };
    let pages = stream::unfold(follow, |mut follow| async move { Some((follow.next().await, follow)) });
    let lines = pages.map(stream::iter).flatten().take_until(revoked).map(|change| line(&change));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// A place in the registry's log. It has no queue: who reads slowly asks seldom, and begins anew when that was too seldom.
struct Follow {
    control: Arc<Control>,
    namespace: Namespace,
    service: Option<ServiceName>,
    after: Option<String>,
}

impl Follow {
    async fn next(&mut self) -> Vec<Change> {
        let after = self.after.take();
        let found = self
            .control
            .node
            .registry_watch(&self.namespace, self.service.as_ref(), after.clone(), BEAT)
            .await;
        self.after = Some(found.revision.clone());
        lines(found, after.as_deref())
    }
}

/// The lines of an answer to who was at `after`.
fn lines(found: Changes, after: Option<&str>) -> Vec<Change> {
    let Changes { reset, ready, revision, changes } = found;
    let mark = |action: Action, revision: String| Change {
        action,
        revision,
        timestamp: micro_db::now_ms(),
        service: None,
    };
    // Until the list has begun there is no place in it: who is cut off here begins anew.
    let begin = reset.then(|| mark(Action::Reset, after.unwrap_or_default().to_owned()));
    let is_last_line_here = changes.last().is_some_and(|last| last.revision == revision);
    let end = (ready && !is_last_line_here).then(|| mark(Action::Ready, revision));
    begin.into_iter().chain(changes).chain(end).collect()
}

fn line(change: &Change) -> Result<Bytes, serde_json::Error> {
    let mut line = serde_json::to_vec(change)?;
    line.push(b'\n');
    Ok(line.into())
}
