//! Calls within this process: the runtime with all of its limits, beside wasmtime alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use micro_api::manifest::Reuse;
use micro_artifact::Codec;
use micro_engine::EngineKind;
use micro_integration::guest::Guest;
use micro_runtime::{Config, Revision};

use crate::Effort;
use crate::bare::Bare;
use crate::node::Node;
use crate::table::{Goal, Pairs, Row, median, seconds, time};

/// A guest and one call of it.
struct Subject {
    name: &'static str,
    guest: Guest,
    endpoint: &'static str,
    codec: Codec,
    request: &'static [u8],
    kind: EngineKind,
    fresh: f64,
    reused: f64,
    /// What the first request to an unloaded service may take.
    first: Duration,
}

/// How long one call may take.
const WALL: Duration = Duration::from_secs(5);

const RUST: Subject = Subject {
    name: "Rust",
    guest: Guest::Example("helloworld"),
    endpoint: "Helloworld.Call",
    codec: Codec::Protobuf,
    request: b"\x0a\x04Jane",
    kind: EngineKind::Async,
    fresh: 1.4,
    reused: 2.0,
    first: Duration::from_millis(2),
};

const JS: Subject = Subject {
    name: "JS",
    guest: Guest::JsService,
    endpoint: "Hello.Call",
    codec: Codec::Json,
    request: b"{\"name\":\"Jane\"}",
    kind: EngineKind::Sync,
    fresh: 1.3,
    reused: 1.3,
    first: Duration::from_millis(6),
};

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for subject in [RUST, JS] {
        let calls = if subject.name == "JS" { effort.calls / 10 } else { effort.calls };
        rows.extend(measure_one(&subject, Effort { calls, ..effort }).await?);
    }
    Ok(rows)
}

async fn measure_one(subject: &Subject, effort: Effort) -> Result<Vec<Row>> {
    let wasm = subject.guest.bytes()?;
    let bare = Bare::new(&wasm, subject.kind).map_err(host)?;
    let node = Node::new(Config::default(), |capabilities| capabilities)?;
    let native = micro_engine::precompile(&wasm, subject.kind)?;
    let fresh = node.revision("fresh", subject.kind, &wasm, &native, Reuse::Fresh)?;
    let reused = node.revision("reused", subject.kind, &wasm, &native, Reuse::Sequential)?;
    node.runtime.warm(&fresh).await?;
    node.runtime.warm(&reused).await?;
    let mut rows = Vec::new();
    let floor = async || {
        let mut instance = bare.instance().await.map_err(host)?;
        instance.call(subject.endpoint, subject.request).await.map(drop).map_err(host)
    };
    let ours = async || call(&node, &fresh, subject).await;
    let what = format!("{} guest, fresh instance and call (p50)", subject.name);
    rows.push(pair(what, effort, ours, floor, Goal::AtMost(subject.fresh)).await?);
    let mut instance = bare.instance().await.map_err(host)?;
    let floor = async || instance.call(subject.endpoint, subject.request).await.map(drop).map_err(host);
    let ours = async || call(&node, &reused, subject).await;
    let what = format!("{} guest, call of a reused instance (p50)", subject.name);
    rows.push(pair(what, effort, ours, floor, Goal::AtMost(subject.reused)).await?);
    rows.push(first_request(&node, subject, &wasm, &native, effort).await?);
    Ok(rows)
}

/// wasmtime's errors are of a kind of their own.
fn host(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}

/// From a service that is not in memory to its first answer.
async fn first_request(
    node: &Node,
    subject: &Subject,
    wasm: &[u8],
    native: &[u8],
    effort: Effort,
) -> Result<Row> {
    let mut times = Vec::new();
    for number in 0..effort.turns.max(3) * 4 {
        let revision = node.revision(&format!("cold{number}"), subject.kind, wasm, native, Reuse::Fresh)?;
        let since = Instant::now();
        call(node, &revision, subject).await?;
        times.push(since.elapsed().as_secs_f64());
        node.runtime.retire(&revision);
    }
    let ours = Duration::from_secs_f64(median(times));
    let ratio = ours.as_secs_f64() / subject.first.as_secs_f64();
    Ok(Row {
        what: format!("{} guest, first request to a service not in memory", subject.name),
        ours: time(ours),
        other: format!("allowed: {}", time(subject.first)),
        ratio: Some(ratio),
        goal: Goal::AtMost(1.0),
    })
}

/// Takes turns and compares the medians of each pair of turns.
async fn pair(
    what: String,
    effort: Effort,
    mut ours: impl AsyncFnMut() -> Result<()>,
    mut floor: impl AsyncFnMut() -> Result<()>,
    goal: Goal,
) -> Result<Row> {
    let mut pairs = Pairs::default();
    turn(effort.calls / 10 + 1, &mut ours).await?;
    turn(effort.calls / 10 + 1, &mut floor).await?;
    for _ in 0..effort.turns {
        pairs.push(turn(effort.calls, &mut ours).await?, turn(effort.calls, &mut floor).await?);
    }
    Ok(pairs.row(what, "wasmtime alone", seconds, goal))
}

/// The median of so many calls, in seconds.
async fn turn(calls: u32, call: &mut impl AsyncFnMut() -> Result<()>) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..calls {
        let since = Instant::now();
        call().await?;
        times.push(since.elapsed().as_secs_f64());
    }
    Ok(median(times))
}

async fn call(node: &Node, revision: &Arc<Revision>, subject: &Subject) -> Result<()> {
    let request = Bytes::from_static(subject.request);
    node.call(revision, subject.endpoint, subject.codec, request, WALL).await.map(drop)
}
