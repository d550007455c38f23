//! Many services on one node, few of them called: what an idle one costs, and what the others lose by it.
//!
//! Deploying ten thousand services takes a quarter of an hour, so they are written into the data folder as running, and
//! the server finds them when it starts.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use micro_api::deployment::{RunRequest, Source};
use micro_api::manifest::Manifest;
use micro_api::{Namespace, routes};
use micro_artifact::{Code, Config, Digest, Key, RevisionManifest, Store, publish};
use micro_db::{Action, Db};
use micro_integration::guest::Guest;
use micro_integration::{Platform, http};

use crate::Effort;
use crate::table::{Goal, Pairs, Row, seconds};
use crate::wrk::wrk;

/// Services of the node that the other is compared with.
const FEW: usize = 10;
const MANY: usize = 10_000;
const MANY_QUICK: usize = 1_000;
/// Components that the services share; so many of them, each of another component, are called.
const COMPONENTS: usize = 100;
/// What an idle service may cost.
const IDLE_BYTES_MAX: f64 = 20.0 * 1024.0;

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let many = if effort.turns > 1 { MANY } else { MANY_QUICK };
    let (small, large) = (Node::start(FEW).await?, Node::start(many).await?);
    let more = large.resident_bytes().await?.saturating_sub(small.resident_bytes().await?);
    let each = more as f64 / (many - FEW) as f64;
    let memory = Row {
        what: format!("memory of an idle service, {many} deployed"),
        ours: format!("{:.1} KiB", each / 1024.0),
        other: format!("allowed: {:.0} KiB", IDLE_BYTES_MAX / 1024.0),
        ratio: Some(each / IDLE_BYTES_MAX),
        goal: Goal::AtMost(1.0),
    };
    let mut pairs = Pairs::default();
    for node in [&large, &small] {
        node.p50(effort.seconds)?;
    }
    for _ in 0..effort.turns {
        pairs.push(large.p50(effort.seconds)?.as_secs_f64(), small.p50(effort.seconds)?.as_secs_f64());
    }
    let what = format!("{COMPONENTS} of {many} services called in turn, p50");
    let latency = pairs.row(what, &format!("{FEW} services"), seconds, Goal::AtMost(1.1));
    Ok(vec![memory, latency])
}

/// A platform with so many services.
struct Node {
    platform: Platform,
    /// Tells wrk to call them in turn.
    script: String,
}

impl Node {
    async fn start(services: usize) -> Result<Self> {
        let mut platform = Platform::start().await?;
        // Server and builder have made their files and are out of the way.
        platform.stop().await?;
        deploy(&platform.data(), services).await?;
        platform.start_server().await?;
        // A server that is ready routes all that runs: its registry has them.
        let names = platform.control_get(routes::REGISTRY).await?.json()?;
        let routed = names.as_array().context("no list")?.len();
        ensure!(routed == services, "{routed} of {services} services run");
        let file = platform.scratch().join("turns.lua");
        let script = format!(
            "local i = 0\nrequest = function()\n  i = i % {} + 1\n  \
             return wrk.format(\"GET\", \"/idle\" .. i - 1 .. \"/hello\")\nend\n",
            COMPONENTS.min(services)
        );
        fs::write(&file, script).context("write wrk's script")?;
        Ok(Self { platform, script: file.display().to_string() })
    }

    fn p50(&self, seconds: u64) -> Result<Duration> {
        Ok(wrk(&self.platform.url("/"), &["-s", &self.script], seconds)?.p50)
    }

    /// Memory of the server while nobody has called anything.
    async fn resident_bytes(&self) -> Result<u64> {
        let url = format!("http://{}/metrics", self.platform.health());
        let metrics = http::send(http::client()?.get(url)).await?.body;
        ensure!(metrics.contains("\nmicro_components_loaded 0\n"), "services are loaded: {metrics}");
        let status = fs::read_to_string(format!("/proc/{}/status", self.platform.pid()))
            .context("read the server's status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().context("read VmRSS")?;
        Ok(kibibytes * 1024)
    }
}

/// Writes so many running services into a data folder.
async fn deploy(data: &Path, services: usize) -> Result<()> {
    let db = Db::connect(&format!("sqlite://{}", data.join("control.db").display())).await?;
    let store = Store::open(&Config::Filesystem { folder: data.join("artifacts") })?;
    let key = Key::open(&data.join("artifact.key"))?;
    let wasm = Guest::HttpP2.bytes()?;
    let found = micro_engine::inspect(&wasm)?;
    let mut components = Vec::new();
    for number in 0..COMPONENTS.min(services) {
        let wasm = with_section(&wasm, number);
        let native = store.put(&micro_engine::precompile(&wasm, found.kind)?)?;
        let engine = micro_engine::engine_id(found.kind);
        components.push(Code { component: store.put(&wasm)?, native, engine });
    }
    for (number, code) in (0..services).zip(components.iter().cycle()) {
        let name = format!("idle{number}");
        let manifest = RevisionManifest {
            exports: found.exports,
            codecs: found.codecs.clone(),
            ..RevisionManifest::new(name.parse()?, code.clone(), Manifest::default())
        };
        let revision = publish(&store, &key, &manifest)?;
        note_running(&db, &name, &revision).await.with_context(|| name)?;
    }
    db.close().await;
    Ok(())
}

/// What `micro run`, the builder and the reconciler do to the database.
async fn note_running(db: &Db, name: &str, revision: &Digest) -> Result<()> {
    let url = format!("https://git.invalid/{name}");
    let source = Source::Git { url: url.clone(), folder: String::new(), reference: String::new() };
    let request = RunRequest::new(source, url, name.parse()?);
    db.submit(&Namespace::default(), Action::Run, &request).await?;
    let job = db.claim_job("bench", 60_000).await?.context("the job is gone")?;
    db.complete(&job, revision).await?;
    let record = db.deployment_by_id(&job.deployment).await?.context("the deployment is gone")?;
    let record = db.starting(&record).await?;
    db.running(&record, false).await.map(drop).map_err(Into::into)
}

/// The same component under another digest: with a custom section at its end.
fn with_section(wasm: &[u8], number: usize) -> Vec<u8> {
    let content = format!("\u{5}bench{number:08}");
    let mut bytes = wasm.to_vec();
    bytes.extend([0, u8::try_from(content.len()).unwrap_or_default()]);
    bytes.extend(content.as_bytes());
    bytes
}
