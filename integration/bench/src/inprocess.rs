//! Calls within this process: the runtime with all of its limits, beside wasmtime alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bytes::Bytes;
use micro_api::Namespace;
use micro_api::manifest::{Manifest, Reuse};
use micro_api::name::ServiceName;
use micro_artifact::{Code, Codec, Key, RevisionManifest, Store, publish, verify};
use micro_capability::client::{CallOptions, CallOrigin, Caller};
use micro_capability::http::{Egress, EgressConfig};
use micro_capability::log::{Logs, LogsConfig};
use micro_capability::registry::Directory;
use micro_capability::{Capabilities, Context, store};
use micro_engine::EngineKind;
use micro_integration::guest::Guest;
use micro_runtime::{Call, Config, Revision, Runtime};

use crate::Effort;
use crate::bare::Bare;
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
    let node = Node::new()?;
    let native = micro_engine::precompile(&wasm, subject.kind)?;
    let fresh = node.revision("fresh", subject, &wasm, &native, Reuse::Fresh)?;
    let reused = node.revision("reused", subject, &wasm, &native, Reuse::Sequential)?;
    node.runtime.warm(&fresh).await?;
    node.runtime.warm(&reused).await?;
    let mut rows = Vec::new();
    let floor = async || {
        let mut instance = bare.instance().await.map_err(host)?;
        instance.call(subject.endpoint, subject.request).await.map(drop).map_err(host)
    };
    let ours = async || node.call(&fresh, subject).await;
    let what = format!("{} guest, fresh instance and call (p50)", subject.name);
    rows.push(pair(what, effort, ours, floor, Goal::AtMost(subject.fresh)).await?);
    let mut instance = bare.instance().await.map_err(host)?;
    let floor = async || instance.call(subject.endpoint, subject.request).await.map(drop).map_err(host);
    let ours = async || node.call(&reused, subject).await;
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
        let revision = node.revision(&format!("cold{number}"), subject, wasm, native, Reuse::Fresh)?;
        let since = Instant::now();
        node.call(&revision, subject).await?;
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

/// A runtime with everything around it.
struct Node {
    runtime: Arc<Runtime>,
    store: Store,
    key: Key,
    _folder: tempfile::TempDir,
}

impl Node {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let capabilities = Capabilities {
            broker: Arc::new(micro_capability::broker::Memory::new(Default::default())),
            events: micro_capability::events::Sqlite::open(&micro_capability::events::SqliteConfig::memory())?,
            tallies: Arc::default(),
            store: Arc::new(store::Memory::new(1 << 20)),
            logs: Logs::open(LogsConfig::new(folder.path().join("logs")))?,
            client: Arc::new(Nobody),
            blobs: Arc::new(micro_capability::blob::Blobs::memory()),
            config: Arc::<micro_capability::config::Memory>::default(),
            registry: Arc::new(Nobody),
            sync: Arc::<micro_capability::sync::Memory>::default(),
            egress: Egress::new(EgressConfig::default())?,
        };
        Ok(Self {
            runtime: Runtime::new(Config::default(), Arc::new(capabilities))?,
            store: Store::open(&micro_artifact::Config::Filesystem {
                folder: folder.path().join("artifacts"),
            })?,
            key: Key::open(&folder.path().join("key"))?,
            _folder: folder,
        })
    }

    fn revision(
        &self,
        name: &str,
        subject: &Subject,
        wasm: &[u8],
        native: &[u8],
        reuse: Reuse,
    ) -> Result<Arc<Revision>> {
        let found = micro_engine::inspect(wasm)?;
        let mut settings = Manifest::default();
        settings.run.reuse = reuse;
        // componentize-js imports all of the world, used or not.
        settings.grants.sync = true;
        settings.grants.events.publish = vec!["*".to_owned()];
        settings.grants.events.consume = vec!["*".to_owned()];
        settings.grants.blob = true;
        settings.grants.broker.publish = vec!["*".to_owned()];
        settings.grants.config = vec!["own".to_owned()];
        settings.grants.store = vec!["own".to_owned()];
        settings.grants.call = vec!["*".to_owned()];
        settings.grants.registry = Some("read".to_owned());
        let code = Code {
            component: self.store.put(wasm)?,
            native: self.store.put(native)?,
            engine: micro_engine::engine_id(subject.kind),
        };
        let manifest = RevisionManifest {
            exports: found.exports,
            codecs: found.codecs,
            ..RevisionManifest::new(name.parse()?, code, settings)
        };
        let digest = publish(&self.store, &self.key, &manifest)?;
        Ok(self.runtime.revision(verify(&self.store, &self.key, &digest)?)?)
    }

    async fn call(&self, revision: &Arc<Revision>, subject: &Subject) -> Result<()> {
        let context = Context {
            account: None,
            metadata: Vec::new(),
            deadline: Instant::now() + Duration::from_secs(5),
            traceparent: String::new(),
            request_id: String::new(),
        };
        let request = Bytes::from_static(subject.request);
        let call = Call { endpoint: subject.endpoint.to_owned(), codec: subject.codec, request, context };
        self.runtime.call(revision, call).await?;
        Ok(())
    }
}

/// There are no other services here.
struct Nobody;

#[async_trait]
impl Caller for Nobody {
    async fn call(
        &self,
        _origin: CallOrigin,
        service: ServiceName,
        _endpoint: String,
        _codec: micro_capability::client::Codec,
        _request: Bytes,
        _options: CallOptions,
    ) -> Result<Bytes, micro_api::Error> {
        Err(micro_api::Error::not_found(service.to_string(), "service not found"))
    }
}

#[async_trait]
impl Directory for Nobody {
    async fn get(&self, _namespace: &Namespace, _service: &ServiceName) -> Vec<micro_api::registry::Service> {
        Vec::new()
    }

    async fn list(&self, _namespace: &Namespace) -> Vec<String> {
        Vec::new()
    }
}
