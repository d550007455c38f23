//! The one place that ties the parts together.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures::future::BoxFuture;
use micro_artifact::Key;
use micro_auth::{PasswordConfig, Passwords, random_secret};
use micro_capability::registry::Teller;
use micro_capability::store::{Admin, Backend};
use micro_capability::{Capabilities, blob, broker, events, http, log, sync};
use micro_client::{Address, Client};
use micro_control::{Control, Credentials, Elsewhere, Plans};
use micro_db::Db;
use micro_engine::{EngineKind, engine_id};
use micro_gateway::{Dispatcher, Gateway, Snapshot};
use micro_runtime::Runtime;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backends;
use crate::builder::{self, BuilderCommand, Condition};
use crate::config::Options;
use crate::configs::Configs;
use crate::data::{Addresses, DataFolder};
use crate::directory::Directory;
use crate::health::{self, Check, Probe};
use crate::node::{Node, Parts};
use crate::socket::Socket;
use crate::usage::{Keeper, Meters};
use crate::{admin, blobs, people, secrets};

/// How long requests may take to finish when the process stops; the gateway's connections have 30 s of their own.
const STOP_GRACE: std::time::Duration = std::time::Duration::from_secs(35);
/// How long the last page of the books may take.
const KEEP_GRACE: std::time::Duration = std::time::Duration::from_secs(5);

/// Everything of the `all` role, until `stop`.
pub(crate) async fn run(options: Options, stop: CancellationToken) -> Result<()> {
    let folder = DataFolder::open(&options.data()?)?;
    let data = folder.path.clone();
    let db_url = options.db_url(&data);
    let db = Db::connect(&db_url).await.context("open the control database")?;
    db.migrate().await.context("bring the control database up to date")?;

    // A wrong master key stops here, before anything is written.
    let sealer = secrets::sealer(&options, &data, &db).await?;
    let credentials = Credentials::open(db.clone(), Arc::clone(&sealer), options.audience())
        .await
        .context("read the keys")?;
    let operator_secret = micro_control::first_start(&db).await.context("make the operator")?;
    check_reach(&options, &db).await?;
    let passwords = Passwords::new(PasswordConfig::default()).context("prepare passwords")?;
    let plans = Arc::new(match &options.plans {
        Some(path) => Plans::read(path).context("read the plans")?,
        None => Plans::default(),
    });

    let api = bind("--api_address", options.api_address).await?;
    let proxy = bind("--proxy_address", options.proxy_address).await?;
    let web = bind("--web_address", options.web_address).await?;
    let health = bind("--health_address", options.health_address).await?;
    let socket = Socket::bind(&options.socket()?).await?;
    let addresses = Addresses {
        pid: std::process::id(),
        api: api.local_addr().context("read the gateway's address")?,
        proxy: proxy.local_addr().context("read the control address")?,
        web: web.local_addr().context("read the portal's address")?,
        health: health.local_addr().context("read the health address")?,
    };

    let (snapshot, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let directory = Directory::new(env!("CARGO_PKG_VERSION"), &addresses.api.to_string());
    let meters = Meters::new();
    let dispatcher = Dispatcher::new(snapshots.clone(), Arc::clone(&meters.budgets) as _);
    let logs = log::Logs::open(log::LogsConfig::new(data.join("logs"))).context("open the log folder")?;
    let store = backends::store(&options, &data, &meters).await?;
    let egress =
        http::Egress::new(http::EgressConfig { loopback: options.allow_loopback, ..Default::default() })
            .context("set up outbound TLS")?;
    let broker = backends::broker(&options).await?;
    let sync = backends::locks(&options).await?;
    let events = backends::events(&options, &data, &meters).await?;
    let registrations = backends::registrations(&options).await?;
    let configs =
        Configs::open(db.clone(), Arc::clone(&sealer)).await.context("read the configuration's counter")?;
    let urls = blobs::urls(&gateway_url(&options, &addresses), &options.domain, &sealer);
    let blobs = blobs::open(&options.blob, &data, db.clone(), Arc::clone(&meters.blobs), urls).await?;
    let capabilities = Arc::new(Capabilities {
        blobs: Arc::clone(&blobs),
        broker: broker.clone(),
        events: events.clone(),
        config: Arc::clone(&configs) as _,
        tallies: Arc::clone(&meters.tallies),
        store: Arc::clone(&store),
        logs: Arc::clone(&logs),
        client: dispatcher.clone(),
        registry: directory.clone(),
        sync: Arc::clone(&sync),
        egress: Arc::clone(&egress),
    });
    let runtime = Runtime::new(runtime_config(&options), capabilities).context("start the runtime")?;
    dispatcher.bind(&runtime);
    let pumps = broker::Broker::new(broker.clone(), dispatcher.clone(), Arc::clone(&logs));
    let consumers = events::Consumers::new(Arc::clone(&events), dispatcher.clone(), Arc::clone(&logs));

    let teller = Teller::new(broker.clone(), Arc::clone(directory.log()));
    let artifacts = backends::artifacts(&options, &data).await?;
    let key = match artifacts.remote() {
        Some(_) => secrets::shared_artifact_key(&data, &db, &sealer).await,
        None => Key::open(&data.join(secrets::ARTIFACT_KEY)).context("open the artifact key"),
    }?;
    let node = Arc::new(Node::new(Parts {
        runtime: Arc::clone(&runtime),
        logs: Arc::clone(&logs),
        store: Admin::new(Arc::clone(&store)),
        blobs: blob::Admin::new(Arc::clone(&blobs)),
        broker: broker::Admin::new(broker.clone()),
        pumps: Arc::clone(&pumps),
        teller: Arc::clone(&teller),
        caller: dispatcher,
        events: events::Admin::new(Arc::clone(&events)),
        consumers: Arc::clone(&consumers),
        id: folder.node_id()?,
        artifacts: artifacts.clone(),
        key: key.clone(),
        snapshot,
        directory,
        egress,
        meters: meters.clone(),
        plans: Arc::clone(&plans),
        address: addresses.api.to_string(),
        config_changed: configs.woken_by(),
    }));
    let gateway_config = micro_gateway::Config {
        domain: options.domain.clone(),
        trusted_proxies: options.trusted_proxies.clone(),
        ..Default::default()
    };
    let gateway = Gateway::new(
        gateway_config,
        Arc::clone(&runtime),
        snapshots,
        Arc::clone(&credentials) as _,
        Arc::clone(&meters.budgets) as _,
    );
    let job = Arc::new(Notify::new());
    let mut control_config =
        micro_control::Config::new(env!("CARGO_PKG_VERSION"), data.join("uploads"), artifacts, key);
    control_config.node_id = folder.node_id()?;
    control_config.elsewhere.clone_from(&registrations);
    control_config.engines = EngineKind::ALL.map(engine_id).to_vec();
    let portal_secret = random_secret("").expose().to_owned();
    control_config.portal_secret.clone_from(&portal_secret);
    control_config.portal_url = portal_url(&options, &addresses);
    control_config.people = people::config(&options, &data)?;
    control_config.plans = plans;
    control_config.hosts.extend(host_of(options.public_url.as_deref()));
    let control = Control::new(
        control_config,
        db.clone(),
        node,
        Arc::clone(&job),
        Arc::clone(&credentials),
        Arc::new(passwords),
    );

    let tasks = TaskTracker::new();
    tasks.spawn(configs.run(stop.clone()));
    tasks.spawn(Arc::clone(&control).run(stop.clone()));
    tasks.spawn(pumps.run(stop.clone()));
    tasks.spawn(consumers.run(stop.clone()));
    tasks.spawn(blobs::sweep(Arc::clone(&blobs), stop.clone()));
    let keeper = Keeper::new(db.clone(), meters, folder.node_id()?, Arc::new(micro_db::now_ms));
    let keeping = CancellationToken::new();
    let kept = tokio::spawn(keeper.run(keeping.clone()));
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
        store,
        blobs,
        sync,
        events,
        broker,
        registrations,
        builder: condition,
    });
    tasks.spawn(serve(health, health::router(probe), stop.clone()));
    // Whoever connects meanwhile waits in the listeners' queues, rather than being told that a running service is
    // unknown.
    tokio::select! {
        () = control.resumed() => {}
        () = stop.cancelled() => {}
    }
    // What was there before is no change.
    tasks.spawn(teller.run(stop.clone()));
    tasks.spawn(Arc::clone(&gateway).serve(api, stop.clone()));
    let router = control.router(rpc_route(gateway, Arc::clone(&control)));
    tasks.spawn(socket.serve(router.clone(), stop.clone()));
    tasks.spawn(serve(proxy, router, stop.clone()));
    tasks.spawn(serve(web, portal(&options, &addresses, portal_secret)?, stop.clone()));
    folder.write_addresses(&addresses)?;
    announce(&addresses);
    if let Some(secret) = operator_secret {
        admin::tell_secret(secret.expose(), &portal_url(&options, &addresses));
    }

    stop.cancelled().await;
    tasks.close();
    // Streams that follow a log have no end of their own.
    if tokio::time::timeout(STOP_GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("Some requests did not finish in time");
    }
    // What was used until now is written down before the database closes.
    keeping.cancel();
    if tokio::time::timeout(KEEP_GRACE, kept).await.is_err() {
        tracing::warn!("What was used in the last second was not written down");
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
        artifacts: options.artifacts.clone(),
    })
}

/// Micro's lines of a server's start: one a core service, then the addresses.
fn announce(addresses: &Addresses) {
    for name in ["registry", "store", "runtime", "debug", "proxy", "api"] {
        tracing::info!("Starting {name}");
    }
    tracing::info!("Gateway listening on http://{}", addresses.api);
    tracing::info!("Proxy listening on http://{}", addresses.proxy);
    tracing::info!("Web listening on http://{}", addresses.web);
    tracing::info!("Health listening on http://{}", addresses.health);
}

async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "A listener ended");
    }
}

/// `/rpc` beside `/v1/`, answered by the gateway.
fn rpc_route(gateway: Arc<Gateway>, control: Arc<Control>) -> Router {
    Router::new().route(
        micro_api::routes::RPC,
        any(move |request: Request| {
            let (gateway, control) = (Arc::clone(&gateway), Arc::clone(&control));
            async move {
                let (parts, body) = request.into_parts();
                let caller = match control.caller(&parts).await {
                    Ok(caller) => caller,
                    Err(error) => return refused(&error),
                };
                let request = Request::from_parts(parts, body);
                gateway.rpc_call(&caller.namespace, request, caller.identity).await.map(AxumBody::new)
            }
        }),
    )
}

/// Micro's error object.
fn refused(error: &micro_api::Error) -> Response {
    let status = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(error)).into_response()
}

/// The pages, which know no more than the control API tells every client.
fn portal(options: &Options, addresses: &Addresses, secret: String) -> Result<Router> {
    let control: Address = addresses.proxy.to_string().parse().context("read the control address")?;
    let mut hosts = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec();
    hosts.extend(host_of(options.portal_url.as_deref()));
    let config = micro_portal::Config {
        client: Client::new(control).context("set the portal's client up")?,
        secret,
        hosts,
        secure: options.portal_url.as_deref().is_some_and(|url| url.starts_with("https://")),
        gateway_url: gateway_url(options, addresses),
        domain: options.domain.clone(),
        control_url: options.public_url.clone().unwrap_or_else(|| addresses.proxy.to_string()),
        trusted_proxies: options.trusted_proxies.clone(),
    };
    micro_portal::router(config).context("set the portal up")
}

/// Where people reach the gateway.
fn gateway_url(options: &Options, addresses: &Addresses) -> String {
    let loopback = || format!("http://localhost:{}", addresses.api.port());
    options.gateway_url.clone().unwrap_or_else(loopback)
}

/// Where people reach the portal.
fn portal_url(options: &Options, addresses: &Addresses) -> String {
    let own = || format!("http://localhost:{}", addresses.web.port());
    options.portal_url.as_deref().map_or_else(own, |url| url.trim_end_matches('/').to_owned())
}

fn host_of(url: Option<&str>) -> Option<String> {
    Some(url::Url::parse(url?).ok()?.host_str()?.to_ascii_lowercase())
}

/// Beyond this machine, somebody must be able to manage the platform, and passwords must not travel in the clear.
async fn check_reach(options: &Options, db: &Db) -> Result<()> {
    if options.is_loopback() {
        return Ok(());
    }
    if !db.has_operator_password().await.context("look for the operator")? {
        anyhow::bail!(
            "the operator's account has no password yet: start on loopback addresses first and set it, then serve others"
        );
    }
    if options.public_url.is_none() || options.portal_url.is_none() {
        tracing::warn!(
            "Others can reach this server: put TLS in front of it and say where with --public_url and --portal_url"
        );
    }
    Ok(())
}

/// What the health address tells of this process.
struct Platform {
    db: Db,
    control: Arc<Control>,
    gateway: Arc<Gateway>,
    runtime: Arc<Runtime>,
    store: Arc<dyn Backend>,
    blobs: Arc<blob::Blobs>,
    sync: Arc<dyn sync::Backend>,
    events: Arc<dyn events::Backend>,
    broker: Arc<dyn broker::Backend>,
    /// `None`: the database has them.
    registrations: Option<Arc<dyn Elsewhere>>,
    /// `None`: this process has none to start.
    builder: Option<Condition>,
}

impl Probe for Platform {
    fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
        Box::pin(async {
            let detail = if self.control.is_resumed() { "" } else { "running services are being taken up" };
            let routes = Check { name: "routes", ok: detail.is_empty(), detail: detail.to_owned() };
            let mut checks = vec![
                check("database", self.db.ping().await),
                check("store", self.store.check().await),
                check("sync", self.sync.check().await),
                check("events", self.events.check().await),
                check("broker", self.broker.check().await),
                check("blob", self.blobs.check().await),
                routes,
            ];
            if let Some(registrations) = &self.registrations {
                checks.push(check("registry", registrations.check().await));
            }
            checks.extend(self.builder.as_ref().map(Condition::check));
            checks
        })
    }

    fn metrics(&self) -> String {
        let mut text = self.gateway.metrics();
        text.push_str(&self.broker.metrics());
        for (name, help, value) in [
            ("micro_components_loaded", "Components in memory.", self.runtime.loaded() as u64),
            ("micro_guest_memory_bytes", "Memory of live instances.", self.runtime.memory_bytes()),
        ] {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n"));
        }
        text
    }
}

/// What a part of the platform says of itself.
fn check<E: std::fmt::Display>(name: &'static str, result: Result<(), E>) -> Check {
    let detail = result.err().map(|error| error.to_string());
    Check { name, ok: detail.is_none(), detail: detail.unwrap_or_default() }
}
