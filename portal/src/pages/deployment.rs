//! A deployment: the stage it is in, what each took, the build's log, and when it failed, why.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::Response;
use axum::response::sse::Event;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use micro_api::ServiceName;
use micro_api::deployment::{Deployment, DeploymentState, RunRequest, Source, Stage};
use micro_api::logs::LogRecord;
use micro_client::{Client, LogQuery, Wait};
use serde_json::{Value, json};

use super::logs::{Cursor, events, line, line_events, ticket};
use super::{Answer, see};
use crate::error::{Fault, mendable};
use crate::form::{Filled, Form};
use crate::format;
use crate::session::Person;

/// The longest that one question to the control API waits for a change.
const WAIT: Duration = Duration::from_secs(20);
/// Lines of a build that a page shows.
const LINES: u64 = 2_000;
const STAGES: [Stage; 7] = [
    Stage::Fetch,
    Stage::Detect,
    Stage::Build,
    Stage::Validate,
    Stage::Precompile,
    Stage::Publish,
    Stage::Start,
];

pub(crate) async fn show(person: Person) -> Answer {
    let deployment = person.client.deployment(person.param("id"), None).await?;
    page(&person, &deployment, &Filled::default()).await
}

async fn page(person: &Person, deployment: &Deployment, filled: &Filled) -> Answer {
    let records = build_log(&person.client, deployment).await?;
    let since = Cursor::after(&records, deployment.created_ms);
    let lines: Vec<Value> = records.iter().map(line).collect();
    let mut content = body(deployment);
    if let Value::Object(content) = &mut content {
        content.extend([
            ("lines".to_owned(), json!(lines)),
            ("since".to_owned(), json!(since.to_string())),
            ("form".to_owned(), json!(filled)),
            ("repeatable".to_owned(), json!(matches!(deployment.source, Source::Git { .. }))),
        ]);
    }
    person.page("services", "deployment.html", content)
}

/// The build's lines. The control API keeps them by service and version; those of an older build do not count.
async fn build_log(client: &Client, deployment: &Deployment) -> Result<Vec<LogRecord>, Fault> {
    let Ok(name) = deployment.service.parse::<ServiceName>() else { return Ok(Vec::new()) };
    let query = LogQuery { since_ms: Some(deployment.created_ms), ..build_query(deployment) };
    let records = match client.logs(&name, &query).await {
        Err(error) if error.code() == 404 => return Ok(Vec::new()),
        other => other?,
    };
    Ok(records.try_collect().await?)
}

fn build_query(deployment: &Deployment) -> LogQuery {
    LogQuery {
        version: Some(deployment.version.clone()),
        lines: Some(LINES),
        build: true,
        ..LogQuery::default()
    }
}

/// States and lines as they come, until the deployment rests.
pub(crate) async fn live(person: Person) -> Result<Response, Fault> {
    let ticket = ticket(&person)?;
    let deployment = person.client.deployment(person.param("id"), None).await?;
    let name: ServiceName = deployment.service.parse().map_err(|_| Fault::not_found())?;
    let cursor = Cursor::asked(&person).unwrap_or_else(|| Cursor::after(&[], deployment.created_ms));
    let query = LogQuery { since_ms: Some(cursor.at_ms), follow: true, ..build_query(&deployment) };
    let lines = match person.client.logs(&name, &query).await {
        Ok(records) => line_events(records, cursor),
        Err(error) if error.code() == 404 => stream::empty().boxed(),
        Err(error) => return Err(error.into()),
    };
    let settled = Arc::new(AtomicBool::new(false));
    let states = states(person, deployment, Arc::clone(&settled));
    // The end is told when the last line is out too; a stream that broke has no end, so the browser comes back.
    let end = stream::once(async move { settled.load(Ordering::Acquire) })
        .filter_map(|settled| ready(settled.then(|| Event::default().event("end").data("{}"))));
    Ok(events(stream::select(lines, states).chain(end).boxed(), ticket))
}

/// An event for each change, until the deployment rests or the control API is gone.
fn states(person: Person, first: Deployment, settled: Arc<AtomicBool>) -> BoxStream<'static, Event> {
    let client = person.client.clone();
    let changes = stream::unfold(Some((client, None, Some(first))), |state| async move {
        let (client, seen, first) = state?;
        let now: Deployment = match (first, seen) {
            (Some(first), _) => first,
            (None, Some(seen)) => next(&client, &seen).await?,
            (None, None) => return None,
        };
        let rest = (!now.state.is_settled()).then(|| (client, Some(now.clone()), None));
        Some((now, rest))
    });
    changes
        .filter_map(move |now| {
            settled.store(now.state.is_settled(), Ordering::Release);
            let html = person.fragment("deployment_body.html", body(&now)).ok();
            let data = html.map(|html| json!({ "html": html, "state": now.state.status() }).to_string());
            ready(data.map(|data| Event::default().event("state").data(data)))
        })
        .boxed()
}

/// The next state that differs. `None` when the control API refuses or is gone: the browser connects again.
async fn next(client: &Client, seen: &Deployment) -> Option<Deployment> {
    loop {
        let wait = Wait { seen_ms: seen.updated_ms, time: WAIT };
        match client.deployment(&seen.id, Some(wait)).await {
            Ok(next) if next.updated_ms != seen.updated_ms => return Some(next),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "a live deployment ends");
                return None;
            }
        }
    }
}

/// Builds the same source once more, in place of what runs of it.
pub(crate) async fn again(person: Person, _form: Form) -> Answer {
    let deployment = person.client.deployment(person.param("id"), None).await?;
    let name = deployment.service.parse().map_err(|_| Fault::not_found())?;
    let mut request = RunRequest::new(deployment.source.clone(), deployment.source_given.clone(), name);
    request.version = deployment.version.clone();
    request.name_forced = true;
    let made = match person.client.update(&request).await {
        Err(error) if error.code() == 404 => person.client.run(&request).await,
        other => other,
    };
    match made {
        Ok(made) => Ok(see(&person.at(&format!("deployments/{}", made.id)))),
        Err(error) => {
            let filled = Filled::default().fail("again", mendable(error)?);
            page(&person, &deployment, &filled).await
        }
    }
}

/// What changes while it is worked on: state, stages, error.
fn body(deployment: &Deployment) -> Value {
    json!({ "deployment": summary(deployment), "stages": bars(deployment, format::now_ms()) })
}

/// A deployment with what templates would have to work out.
pub(crate) fn summary(deployment: &Deployment) -> Value {
    let mut value = json!(deployment);
    if let Value::Object(value) = &mut value {
        let settled = deployment.state.is_settled();
        let took: i64 = deployment.stages.iter().filter_map(|stage| stage.duration_ms).sum();
        value.insert("status".to_owned(), json!(deployment.state.status()));
        value.insert("settled".to_owned(), json!(settled));
        value.insert("took_ms".to_owned(), json!(took));
        value.entry("error").or_insert(Value::Null);
        value.entry("commit").or_insert(Value::Null);
        value.entry("revision").or_insert(Value::Null);
    }
    value
}

/// Each stage as a bar on the common time axis, in tenths of a percent.
fn bars(deployment: &Deployment, now: i64) -> Vec<Value> {
    let start = deployment.stages.iter().map(|stage| stage.started_ms).min().unwrap_or(deployment.created_ms);
    let ends = deployment
        .stages
        .iter()
        .map(|stage| stage.started_ms + stage.duration_ms.unwrap_or_else(|| (now - stage.started_ms).max(0)));
    let span = ends.max().map_or(1, |end| (end - start).max(1));
    let failed = deployment.state == DeploymentState::Failed;
    let last = deployment.stages.last().map(|stage| stage.stage);
    STAGES
        .iter()
        .map(|stage| {
            let Some(report) = deployment.stages.iter().find(|report| report.stage == *stage) else {
                return json!({ "name": stage.as_str(), "state": "waiting" });
            };
            let took = report.duration_ms.unwrap_or_else(|| (now - report.started_ms).max(0));
            let state = match (report.duration_ms, failed && last == Some(*stage)) {
                (_, true) => "failed",
                (None, _) => "running",
                (Some(_), _) => "done",
            };
            let at = (report.started_ms - start).clamp(0, span) * 1_000 / span;
            let width = (took * 1_000 / span).clamp(6, 1_000);
            json!({
                "name": stage.as_str(), "state": state, "took_ms": took, "cached": report.cached,
                "at": at.min(994), "width": width.min(1_000 - at.min(994)),
            })
        })
        .collect()
}
