//! HTTP under load, beside `wasmtime serve` and `workerd`, by the same load generator.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use micro_integration::guest::Guest;
use micro_integration::platform::die_with_parent;
use micro_integration::{Platform, eventually, http};

use crate::Effort;
use crate::table::{Goal, Pairs, Row, seconds};
use crate::wrk::wrk;

const KEEP_RESIDENT: [&str; 6] = [
    "-O",
    "pooling-memory-keep-resident=1048576",
    "-O",
    "pooling-table-keep-resident=65536",
    "-O",
    "pooling-pagemap-scan=auto",
];

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let platform = Platform::start().await?;
    deploy(&platform, Guest::HttpP2, "two", "fresh").await?;
    deploy(&platform, Guest::HttpP3, "three", "sequential").await?;
    // workerd serves all requests from one isolate: reuse is compared with reuse.
    deploy(&platform, Guest::Example("helloworld"), "helloworld", "sequential").await?;
    let mut rows = Vec::new();
    let pooled = ["-S", "cli", "-O", "pooling-allocator"];
    let plain = Peer::wasmtime(Guest::HttpP2, &pooled).await?;
    let what = "wasi:http 0.2, fresh, 16 connections";
    rows.push(against(what, &platform.url("/two/hello"), &plain, effort, Goal::AtLeast(2.2)).await?);
    drop(plain);
    let kept = Peer::wasmtime(Guest::HttpP2, &[&pooled[..], &KEEP_RESIDENT].concat()).await?;
    let what = "the same, peer with keep-resident";
    rows.push(against(what, &platform.url("/two/hello"), &kept, effort, Goal::AtLeast(1.5)).await?);
    drop(kept);
    let asynchronous = ["-S", "cli,p3", "-W", "component-model-async", "-O", "pooling-allocator"];
    let reuse = ["--max-instance-reuse-count", "1000"];
    let flags = [&asynchronous[..], &KEEP_RESIDENT, &reuse].concat();
    let reused = Peer::wasmtime(Guest::HttpP3, &flags).await?;
    let what = "wasi:http 0.3, reused, 16 connections";
    rows.push(against(what, &platform.url("/three/hello"), &reused, effort, Goal::AtLeast(1.2)).await?);
    drop(reused);
    let workerd = Peer::workerd().await?;
    let url = platform.url("/helloworld/call?name=Jane");
    rows.push(
        against("JSON hello, reused, 16 connections", &url, &workerd, effort, Goal::AtLeast(2.0)).await?,
    );
    rows.push(p99(&url, &workerd, effort).await?);
    Ok(rows)
}

async fn deploy(platform: &Platform, guest: Guest, name: &str, reuse: &str) -> Result<()> {
    let folder = platform.scratch().join(name);
    guest.place(&folder, &format!("[service]\nname = \"{name}\"\n[run]\nreuse = \"{reuse}\"\n"))?;
    platform.micro().ok(&["run", &folder.display().to_string()]).await.map(drop)
}

/// Requests a second, ours and the peer's, in turns.
async fn against(what: &str, ours: &str, peer: &Peer, effort: Effort, goal: Goal) -> Result<Row> {
    let mut pairs = Pairs::default();
    for url in [ours, &peer.url] {
        wrk(url, &[], 1)?;
    }
    for _ in 0..effort.turns {
        pairs.push(wrk(ours, &[], effort.seconds)?.rate, wrk(&peer.url, &[], effort.seconds)?.rate);
    }
    Ok(pairs.row(what.to_owned(), peer.name, |rate| format!("{rate:.0} req/s"), goal))
}

async fn p99(ours: &str, peer: &Peer, effort: Effort) -> Result<Row> {
    let (a, b) = (wrk(ours, &[], effort.seconds)?.p99, wrk(&peer.url, &[], effort.seconds)?.p99);
    let mut pairs = Pairs::default();
    pairs.push(a.as_secs_f64(), b.as_secs_f64());
    Ok(pairs.row("the same, p99".to_owned(), peer.name, seconds, Goal::AtMost(1.0)))
}

/// Another server of the same answer; it stops when this is dropped.
struct Peer {
    process: Child,
    name: &'static str,
    url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Peer {
    async fn wasmtime(guest: Guest, flags: &[&str]) -> Result<Self> {
        let address = free()?;
        let mut command = Command::new(tools()?.join("bin/wasmtime"));
        command.arg("serve").args(flags).args(["--addr", &address.to_string()]).arg(guest.path());
        Self::start("wasmtime serve", &command, format!("http://{address}/hello"), None).await
    }

    async fn workerd() -> Result<Self> {
        let (address, folder) = (free()?, tempfile::tempdir().context("make a folder")?);
        let script = "addEventListener('fetch', (event) => event.respondWith(answer(event.request)));\n\
            function answer(request) {\n  const name = new URL(request.url).searchParams.get('name');\n  \
            return Response.json({ msg: `Hello ${name}` });\n}\n";
        std::fs::write(folder.path().join("hello.js"), script).context("write the worker")?;
        let config = format!(
            "using Workerd = import \"/workerd/workerd.capnp\";\nconst config :Workerd.Config = (\n  \
             services = [(name = \"main\", worker = (serviceWorkerScript = embed \"hello.js\", \
             compatibilityDate = \"2025-01-01\"))],\n  \
             sockets = [(name = \"http\", address = \"{address}\", http = (), service = \"main\")]\n);\n"
        );
        let file = folder.path().join("config.capnp");
        std::fs::write(&file, config).context("write the configuration")?;
        let program = tools()?.join("workerd/node_modules/@cloudflare/workerd-linux-64/bin/workerd");
        let mut command = Command::new(program);
        command.arg("serve").arg(file);
        Self::start("workerd", &command, format!("http://{address}/?name=Jane"), Some(folder)).await
    }

    async fn start(
        name: &'static str,
        command: &Command,
        url: String,
        folder: Option<tempfile::TempDir>,
    ) -> Result<Self> {
        let mut command = die_with_parent(command);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.with_context(|| format!("start {name}: `cargo xtask setup` installs it"))?;
        let peer = Self { process, name, url, _folder: folder };
        let client = http::client()?;
        eventually(name, Duration::from_secs(60), async || {
            let answer = http::send(client.get(&peer.url)).await?;
            if answer.status == 200 { Ok(()) } else { bail!("{answer:?}") }
        })
        .await?;
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where `cargo xtask setup` puts the peers.
fn tools() -> Result<PathBuf> {
    std::env::var_os("MICRO_BENCH_TOOLS").map(PathBuf::from).context("run this by `cargo xtask bench`")
}

fn free() -> Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).context("find a free port")
}
