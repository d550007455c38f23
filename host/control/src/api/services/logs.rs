//! `GET /v1/services/{name}/logs`: what a service, or its build, printed. One JSON object a line.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream::{self, BoxStream, StreamExt};
use micro_api::ServiceName;
use micro_api::deployment::DeploymentState;
use micro_api::logs::LogRecord;
use micro_db::deployments::Record;
use micro_db::state::is_building;
use serde::Deserialize;

use super::{ID, LATEST};
use crate::api::service_name;
use crate::authz::{Authorized, ReadService};
use crate::error::{Error, chain};
use crate::extract::{Path, Query};
use crate::near::with_hint;
use crate::{Control, LogQuery};

/// Lines when the client names no number: Micro's default.
const LINES: usize = 15;
/// Lines of the past that a client can ask for.
const LINES_MAX: usize = 100_000;
/// Lines read from the build log at once.
const PAGE: i64 = 500;

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
pub(crate) struct Which {
    /// Only this version.
    version: Option<String>,
    /// Lines of the past; 15 when absent, for a build's log all.
    lines: Option<usize>,
    /// Only lines from this time on.
    since_ms: Option<i64>,
    /// Go on with new lines.
    #[serde(default)]
    follow: bool,
    /// The log of the newest build.
    #[serde(default)]
    build: bool,
}

type Lines = BoxStream<'static, LogRecord>;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<ReadService>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Result<Response, Error> {
    let name = service_name(ID, &name)?;
    caller.check_service(&name)?;
    let version = which.version.clone().filter(|version| !version.is_empty());
    let (name, newest) = find(&control, &caller, name, version.as_deref()).await?;
    let lines = match newest {
        Some(newest) if which.build => build(Arc::clone(&control), newest, &which).await?,
        newest => {
            let query = LogQuery {
                namespace: caller.namespace.clone(),
                service: name,
                version,
                lines: which.lines.unwrap_or(LINES).min(LINES_MAX),
                since_ms: which.since_ms,
                follow: which.follow,
            };
            let own = control.node.logs(query).await?;
            match newest.filter(failed_to_build) {
                // Nothing ran of it, so its build is all there is to say.
                Some(newest) => build(Arc::clone(&control), newest, &which).await?.chain(own).boxed(),
                None => own,
            }
        }
    };
    Ok((
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines.take_until(caller.revoked(&control)).map(line)),
    )
        .into_response())
}

/// A service and its newest deployment. No deployment: it is one of the platform's own.
async fn find(
    control: &Control,
    caller: &Authorized<ReadService>,
    name: ServiceName,
    version: Option<&str>,
) -> Result<(ServiceName, Option<Record>), Error> {
    let (db, namespace) = (&control.db, &caller.namespace);
    let text = name.to_string();
    let newest = db.newest_deployment(namespace, &text, version).await.map_err(Error::db(ID))?;
    if newest.is_some() {
        return Ok((name, newest));
    }
    // It may be meant by the name of its source.
    if let Some((service, _)) =
        db.resolve(namespace, &text, version.unwrap_or(LATEST)).await.map_err(Error::db(ID))?
    {
        let newest = db.newest_deployment(namespace, &service, version).await.map_err(Error::db(ID))?;
        return Ok((service_name(ID, &service)?, newest));
    }
    let mut known = control.node.registry_list(namespace).await;
    if known.contains(&text) {
        return Ok((name, None));
    }
    known.extend(db.services(namespace).await.map_err(Error::db(ID))?);
    Err(micro_api::Error::not_found(ID, with_hint("service not found", &text, &known)).into())
}

fn failed_to_build(newest: &Record) -> bool {
    newest.deployment.state == DeploymentState::Failed && newest.deployment.revision.is_none()
}

/// The log of a build: its tail, then, with `follow`, what comes until it ends.
async fn build(control: Arc<Control>, newest: Record, which: &Which) -> Result<Lines, Error> {
    let deployment = newest.deployment;
    let total = control.db.build_log_lines(&deployment.id).await.map_err(Error::db(ID))?;
    let lines = which.lines.map_or(total, |lines| i64::try_from(lines).unwrap_or(i64::MAX));
    let from = (total - lines).max(0);
    let since = which.since_ms.unwrap_or(i64::MIN);
    let state = Follow { control, id: deployment.id, from, follow: which.follow };
    let pages = stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        let page = state.page().await?;
        Some((stream::iter(page), Some(state)))
    });
    Ok(pages.flatten().filter(move |line| futures::future::ready(line.timestamp >= since)).boxed())
}

struct Follow {
    control: Arc<Control>,
    id: String,
    from: i64,
    follow: bool,
}

impl Follow {
    /// The next lines; `None` at the end.
    async fn page(&mut self) -> Option<Vec<LogRecord>> {
        let mut changes = self.control.changes();
        loop {
            changes.mark_unchanged();
            // The state is read first: lines that are written before it ends are then seen.
            let building = self.follow && self.is_building().await?;
            let (lines, next) = self.read().await?;
            if !lines.is_empty() {
                self.from = next;
                return Some(lines);
            }
            if !building {
                return None;
            }
            changes.changed().await.ok()?;
        }
    }

    async fn is_building(&self) -> Option<bool> {
        let record = self.control.db.deployment_by_id(&self.id).await.inspect_err(warn).ok()??;
        Some(is_building(record.deployment.state))
    }

    async fn read(&self) -> Option<(Vec<LogRecord>, i64)> {
        self.control.db.build_log(&self.id, self.from, PAGE).await.inspect_err(warn).ok()
    }
}

fn warn(error: &micro_db::Error) {
    tracing::warn!(error = chain(error), "A build log could not be read to its end");
}

fn line(record: LogRecord) -> Result<Bytes, serde_json::Error> {
    let mut line = serde_json::to_vec(&record)?;
    line.push(b'\n');
    Ok(line.into())
}
