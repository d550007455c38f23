//! The one place that chooses backends and ties the parts together.

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::Request;
use axum::routing::any;
use futures::future::BoxFuture;
use micro_api::Namespace;
use micro_artifact::{Key, Store};
use micro_capability::store::{Admin, Backend, Memory, Sqlite, SqliteConfig};
use micro_capability::{Capabilities, http, log};
use micro_control::Control;
use micro_db::Db;
use micro_engine::{EngineKind, engine_id};
use micro_gateway::{Dispatcher, Gateway, Snapshot};
use micro_runtime::Runtime;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::builder::{self, BuilderCommand, Condition};
use crate::config::Options;
use crate::data::{Addresses, DataFolder};
use crate::directory::Directory;
use crate::health::{self, Check, Probe};
use crate::node::{Node, Parts};

/// Largest store of one namespace in memory, bytes.
const MEMORY_STORE_BYTES_MAX: u64 = 256 << 20;
/// How long requests may take to finish when the process stops; the gateway's connections have 30 s of their own.
const STOP_GRACE: std::time::Duration = std::time::Duration::from_secs(35);

/// Everything of the `all` role, until `stop`.
pub(crate) async fn run(options: Options, stop: CancellationToken) -> Result<()> {
    let folder = DataFolder::open(&options.data()?)?;
    let data = folder.path.clone();
    let db_url =
        options.db.clone().unwrap_or_else(|| format!("sqlite://{}", data.join("control.db").display()));
    let db = Db::connect(&db_url).await.context("open the control database")?;
    db.migrate().await.context("bring the control database up to date")?;

    let api = bind("--api_address", options.api_address).await?;
    let proxy = bind("--proxy_address", options.proxy_address).await?;
    let health = bind("--health_address", options.health_address).await?;
    let addresses = Addresses {
        pid: std::process::id(),
        api: api.local_addr().context("read the gateway's address")?,
        proxy: proxy.local_addr().context("read the control address")?,
        health: health.local_addr().context("read the health address")?,
    };

    let (snapshot, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let directory = Directory::new(env!("CARGO_PKG_VERSION"), &addresses.api.to_string());
    let dispatcher = Dispatcher::new(snapshots.clone());
    let logs = log::Logs::open(log::LogsConfig::new(data.join("logs"))).context("open the log folder")?;
    let store = store(&options, &data)?;
    let capabilities = Arc::new(Capabilities {
        store: Arc::clone(&store),
        logs: Arc::clone(&logs),
        client: dispatcher.clone(),
        registry: directory.clone(),
        egress: http::Egress::new(http::EgressConfig {
            loopback: options.allow_loopback,
            ..Default::default()
        })
        .context("set up outbound TLS")?,
    });
    let runtime = Runtime::new(runtime_config(&options), capabilities).context("start the runtime")?;
    dispatcher.bind(&runtime);

    let artifacts = Store::open(&micro_artifact::Config::Filesystem { folder: data.join("artifacts") })
        .context("open the artifact store")?;
    let key = Key::open(&data.join("artifact.key")).context("open the artifact key")?;
    let node = Arc::new(Node::new(Parts {
        runtime: Arc::clone(&runtime),
        logs: Arc::clone(&logs),
        store: Admin::new(store),
        artifacts: artifacts.clone(),
        key: key.clone(),
        snapshot,
        directory,
        address: addresses.api.to_string(),
    }));
    let gateway_config = micro_gateway::Config { domain: options.domain.clone(), ..Default::default() };
    let gateway = Gateway::new(gateway_config, Arc::clone(&runtime), snapshots);
    let job = Arc::new(Notify::new());
    let mut control_config =
        micro_control::Config::new(env!("CARGO_PKG_VERSION"), data.join("uploads"), artifacts, key);
    control_config.engines = EngineKind::ALL.map(engine_id).to_vec();
    let control = Control::new(control_config, db.clone(), node, Arc::clone(&job));

    let tasks = TaskTracker::new();
    tasks.spawn(Arc::clone(&control).run(stop.clone()));
    let mut condition = None;
    if !options.no_builder {
        let command = builder_command(&options, &data, db_url)?;
        let watched = condition.insert(Condition::default());
        tasks.spawn(builder::supervise(command, Arc::clone(&job), watched.clone(), stop.clone()));
    }
    let probe: Arc<dyn Probe> = Arc::new(Platform {
        db: db.clone(),
        control: Arc::clone(&control),
        gateway: Arc::clone(&gateway),
        runtime,
        builder: condition,
    });
    tasks.spawn(serve(health, health::router(probe), stop.clone()));
    // Whoever connects meanwhile waits in the listeners' queues, rather than being told that a running service is
    // unknown.
    tokio::select! {
        () = control.resumed() => {}
        () = stop.cancelled() => {}
    }
    tasks.spawn(Arc::clone(&gateway).serve(api, stop.clone()));
    tasks.spawn(serve(proxy, control.router(rpc_route(gateway)), stop.clone()));
    folder.write_addresses(&addresses)?;
    announce(&addresses);

    stop.cancelled().await;
    tasks.close();
    // Streams that follow a log have no end of their own.
    if tokio::time::timeout(STOP_GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("Some requests did not finish in time");
    }
    logs.flush().await;
    db.close().await;
    Ok(())
}

async fn bind(flag: &str, address: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("listen on {address}: is another server running? choose another with {flag}")
    })
}

fn store(options: &Options, data: &std::path::Path) -> Result<Arc<dyn Backend>> {
    if options.store == "memory" {
        return Ok(Arc::new(Memory::new(MEMORY_STORE_BYTES_MAX)));
    }
    Ok(Sqlite::open(&SqliteConfig::new(data.join("store"))).context("open the store")?)
}

fn runtime_config(options: &Options) -> micro_runtime::Config {
    micro_runtime::Config {
        loaded_max: options.loaded_max,
        memory_budget_bytes: (options.memory_budget > 0).then_some(options.memory_budget),
        ..Default::default()
    }
}

/// `micro-builder` and `micro` lie beside this program.
fn builder_command(options: &Options, data: &std::path::Path, db: String) -> Result<BuilderCommand> {
    let program = std::env::current_exe().context("find this program")?;
    let folder = program.parent().context("find this program's folder")?;
    Ok(BuilderCommand {
        program: folder.join("micro-builder"),
        data: data.to_owned(),
        db,
        micro: folder.join("micro"),
        flags: options.builder_flags.clone(),
    })
}

/// Micro's lines of a server's start: one a core service, then the addresses.
fn announce(addresses: &Addresses) {
    for name in ["registry", "store", "runtime", "debug", "proxy", "api"] {
        tracing::info!("Starting {name}");
    }
    tracing::info!("Gateway listening on http://{}", addresses.api);
    tracing::info!("Proxy listening on http://{}", addresses.proxy);
    tracing::info!("Health listening on http://{}", addresses.health);
}

async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "A listener ended");
    }
}

/// `/rpc` beside `/v1/`, answered by the gateway.
fn rpc_route(gateway: Arc<Gateway>) -> Router {
    Router::new().route(
        micro_api::routes::RPC,
        any(move |request: Request| {
            let gateway = Arc::clone(&gateway);
            async move { gateway.rpc_call(&Namespace::default(), request).await.map(AxumBody::new) }
        }),
    )
}

/// What the health address tells of this process.
struct Platform {
    db: Db,
    control: Arc<Control>,
    gateway: Arc<Gateway>,
    runtime: Arc<Runtime>,
    /// `None`: this process has none to start.
    builder: Option<Condition>,
}

impl Probe for Platform {
    fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
        Box::pin(async {
            let database = match self.db.ping().await {
                Ok(()) => Check { name: "database", ok: true, detail: String::new() },
                Err(error) => Check { name: "database", ok: false, detail: error.to_string() },
            };
            let detail = if self.control.is_resumed() { "" } else { "running services are being taken up" };
            let routes = Check { name: "routes", ok: detail.is_empty(), detail: detail.to_owned() };
            let mut checks = vec![database, routes];
            checks.extend(self.builder.as_ref().map(Condition::check));
            checks
        })
    }

    fn metrics(&self) -> String {
        let mut text = self.gateway.metrics();
        for (name, help, value) in [
            ("micro_components_loaded", "Components in memory.", self.runtime.loaded() as u64),
            ("micro_guest_memory_bytes", "Memory of live instances.", self.runtime.memory_bytes()),
        ] {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n"));
        }
        text
    }
}
