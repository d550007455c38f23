//! A gateway that listens, with a runtime and services around it, and clients that speak byte by byte.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use micro_api::auth::{Access, Resource, Rule};
use micro_api::manifest::{Manifest, Route};
use micro_api::{Namespace, ServiceName};
use micro_artifact::{Code, Codec, Key, RevisionManifest, Store, publish, verify};
use micro_auth::{Authenticator, Credential, Identity, Refused, RuleSet};
use micro_capability::Capabilities;
use micro_capability::http::{Egress, EgressConfig};
use micro_capability::log::{Logs, LogsConfig};
use micro_runtime::{Revision, Runtime, ServiceLimits};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::{Config, Dispatcher, Entry, Exceeded, Gateway, Quota, Snapshot, Tenant};

/// What a test waits for comes long before.
const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway on a port of its own; its services are `svc` (`service.wat`) and, where asked for, `web` (the guest
/// `http_p2`). All of namespace `default` is public at first.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) gateway: Arc<Gateway>,
    pub(super) dispatcher: Arc<Dispatcher>,
    /// Who is known by which token.
    pub(super) known: Arc<Known>,
    pub(super) budget: Arc<Budget>,
    pub(super) stop: CancellationToken,
    pub(super) serving: JoinHandle<()>,
    _folder: tempfile::TempDir,
    snapshot: watch::Sender<Arc<Snapshot>>,
}

impl Server {
    pub(super) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::with(&[service()], change).await
    }

    pub(super) async fn with_web(change: impl FnOnce(&mut Config)) -> Self {
        Self::with(&[service(), ("web", web(), Manifest::default())], change).await
    }

    /// With a service `feed` beside `svc`, whose endpoints stream; their paths are below `/stream/`. `proto` is the same
    /// with a schema instead of registered endpoints, and in protobuf.
    pub(super) async fn with_streams(change: impl FnOnce(&mut Config)) -> Self {
        Self::with(&[service(), feed(), ("proto", feed().1, Manifest::default())], change).await
    }

    /// With `feed`, on a node whose services have other limits.
    pub(super) async fn with_stream_limits(limit: impl FnOnce(&mut ServiceLimits)) -> Self {
        Self::with_limits(&[feed()], |_| (), limit).await
    }

    /// Services `svc` and `web` of two namespaces, `default` and `acme`; the latter has an api service `svc2` too.
    pub(super) async fn with_tenants(change: impl FnOnce(&mut Config)) -> Self {
        let (_, wasm, settings) = service();
        let other = Manifest { route: Vec::new(), ..settings.clone() };
        let services = [
            ("default/svc", wasm, settings.clone()),
            ("default/web", web(), Manifest::default()),
            ("acme/svc", wasm, settings),
            ("acme/web", web(), Manifest::default()),
            ("acme/svc2", wasm, other),
        ];
        Self::with(&services, change).await
    }

    async fn with(services: &[(&str, &[u8], Manifest)], change: impl FnOnce(&mut Config)) -> Self {
        Self::with_limits(services, change, |_| ()).await
    }

    async fn with_limits(
        services: &[(&str, &[u8], Manifest)],
        change: impl FnOnce(&mut Config),
        limit: impl FnOnce(&mut ServiceLimits),
    ) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let folder = tempfile::tempdir().unwrap();
        let (sender, receiver) = watch::channel(Arc::default());
        let (known, budget) = (Arc::<Known>::default(), Arc::<Budget>::default());
        let dispatcher = Dispatcher::new(receiver.clone(), budget.clone());
        let logs = Logs::open(LogsConfig::new(folder.path().join("logs"))).unwrap();
        let egress = Egress::new(EgressConfig::default()).unwrap();
        let capabilities = Arc::new(Capabilities::in_memory(logs, dispatcher.clone(), egress).unwrap());
        let mut limits = micro_runtime::Config { memory_budget_bytes: Some(1 << 30), ..Default::default() };
        limits.engine.slots = 32;
        limit(&mut limits.service);
        let runtime = Runtime::new(limits, capabilities).unwrap();
        dispatcher.bind(&runtime);
        let entries = services.iter().map(|(name, wasm, settings)| {
            let revision = revision(&runtime, folder.path(), name, wasm, settings.clone());
            Arc::new(Entry::new(revision).unwrap())
        });
        let tenants = [(Namespace::default(), Arc::new(tenant(&[PUBLIC])))];
        sender.send_replace(Arc::new(Snapshot::new(entries, tenants)));
        let gateway = Gateway::new(config, runtime, receiver, known.clone(), budget.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(Arc::clone(&gateway).serve(listener, stop.clone()));
        Self { address, gateway, dispatcher, known, budget, stop, serving, _folder: folder, snapshot: sender }
    }

    /// Replaces all that is said of namespaces.
    pub(super) fn tenants(&self, tenants: &[(&str, Tenant)]) {
        let tenants = tenants.iter().map(|(name, tenant)| (name.parse().unwrap(), Arc::new(tenant.clone())));
        self.snapshot.send_modify(|snapshot| *snapshot = Arc::new(snapshot.with_tenants(tenants)));
    }

    pub(super) async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap() }
    }

    /// A client at another address of this machine.
    pub(super) async fn connect_from(&self, last: u8) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0).into()).unwrap();
        Client { stream: socket.connect(self.address).await.unwrap() }
    }

    /// A client whose machine takes little before it is read.
    pub(super) async fn connect_narrow(&self) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Client { stream: socket.connect(self.address).await.unwrap() }
    }

    /// One request on a connection of its own: the answer's status and all of its text.
    pub(super) async fn ask(&self, request: &str) -> (u16, String) {
        self.connect().await.ask(request).await
    }

    /// Waits until no request is being answered.
    pub(super) async fn quiet(&self) {
        until(|| self.gateway.gate.in_flight() == 0).await;
    }
}

/// Waits until something is so.
pub(super) async fn until(mut so: impl FnMut() -> bool) {
    let waited = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap();
}

pub(super) struct Client {
    pub(super) stream: TcpStream,
}

impl Client {
    pub(super) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until the text has `end`.
    pub(super) async fn read_until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.contains(end) {
            let piece = self.read().await;
            assert!(!piece.is_empty(), "closed before {end:?}: {text}");
            text.push_str(&piece);
        }
        text
    }

    /// The next piece; nothing when the connection is closed, in whatever way.
    pub(super) async fn read(&mut self) -> String {
        let mut buffer = vec![0; 64 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer));
        let length = read.await.unwrap().unwrap_or_default();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// All that comes until the connection is closed.
    pub(super) async fn rest(&mut self) -> String {
        let mut text = String::new();
        loop {
            let piece = self.read().await;
            if piece.is_empty() {
                return text;
            }
            text.push_str(&piece);
        }
    }

    /// Sends a request; what is answered until the connection is closed, which may be nothing.
    pub(super) async fn exchange(&mut self, request: &str) -> String {
        // The server may answer and close before it has read everything.
        let _ = self.stream.write_all(request.as_bytes()).await;
        self.rest().await
    }

    pub(super) async fn ask(&mut self, request: &str) -> (u16, String) {
        let answer = self.exchange(request).await;
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.unwrap_or_else(|| panic!("no answer: {answer:?}")), answer)
    }
}

/// A rule as `micro auth create rule` takes it: scope, `type:name:endpoint`, priority, and whether it grants.
pub(super) type RuleOf<'a> = (&'a str, &'a str, i32, bool);

/// Everybody may call everything.
pub(super) const PUBLIC: RuleOf<'static> = ("", "*:*:*", 0, true);
/// Every account of the namespace may.
pub(super) const DEFAULT: RuleOf<'static> = ("*", "*:*:*", 0, true);

/// A namespace with these rules and no limits.
pub(super) fn tenant(rules: &[RuleOf<'_>]) -> Tenant {
    let rule = |(scope, resource, priority, granted): &RuleOf<'_>| {
        let parts: Vec<&str> = resource.split(':').collect();
        Rule {
            id: String::new(),
            scope: (*scope).to_owned(),
            resource: Resource {
                kind: parts[0].to_owned(),
                name: parts[1].to_owned(),
                endpoint: parts[2].to_owned(),
            },
            access: if *granted { Access::Granted } else { Access::Denied },
            priority: *priority,
        }
    };
    Tenant::new(RuleSet::new(rules.iter().map(rule).collect()))
}

/// Tokens that a test gave out.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<String, Result<Arc<Identity>, Refused>>>);

impl Known {
    /// `token` is an API key of an account of `namespace`.
    pub(super) fn key(&self, token: &str, namespace: &str, id: &str) -> Identity {
        let identity = Identity {
            id: id.to_owned(),
            name: id.to_owned(),
            credential: Credential::Key,
            namespace: namespace.parse().unwrap(),
            scopes: vec!["viewer".to_owned()],
            person: None,
            session: String::new(),
            service: None,
            operator: false,
            expires_ms: i64::MAX,
        };
        self.set(token, Ok(identity.clone()));
        identity
    }

    pub(super) fn set(&self, token: &str, answer: Result<Identity, Refused>) {
        self.0.lock().insert(token.to_owned(), answer.map(Arc::new));
    }
}

#[async_trait::async_trait]
impl Authenticator for Known {
    async fn authenticate(&self, credential: &str) -> Result<Arc<Identity>, Refused> {
        self.0.lock().get(credential).cloned().unwrap_or(Err(Refused::Invalid))
    }
}

/// A budget that a test uses up; counts until then.
#[derive(Default)]
pub(super) struct Budget {
    pub(super) used_up: Mutex<Option<Exceeded>>,
    pub(super) counted: Mutex<Vec<String>>,
}

impl Quota for Budget {
    fn admit(&self, namespace: &Namespace, service: &ServiceName) -> Result<(), Exceeded> {
        if let Some(exceeded) = self.used_up.lock().clone() {
            return Err(exceeded);
        }
        self.counted.lock().push(format!("{namespace}/{service}"));
        Ok(())
    }

    fn check(&self, _: &Namespace) -> Result<(), Exceeded> {
        self.used_up.lock().clone().map_or(Ok(()), Err)
    }
}

/// A request that closes its connection; each of `headers` is a line.
pub(super) fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
}

pub(super) fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

pub(super) fn post_chunked(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
    )
}

fn revision(runtime: &Runtime, folder: &Path, name: &str, wasm: &[u8], settings: Manifest) -> Arc<Revision> {
    let artifacts = Store::open(&micro_artifact::Config::Filesystem { folder: folder.join("artifacts") });
    let (artifacts, key) = (artifacts.unwrap(), Key::open(&folder.join("key")).unwrap());
    let found = micro_engine::inspect(wasm).unwrap();
    let native = micro_engine::precompile(wasm, found.kind).unwrap();
    let code = Code {
        component: artifacts.put(wasm).unwrap(),
        native: artifacts.put(&native).unwrap(),
        engine: micro_engine::engine_id(found.kind),
    };
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    let manifest = RevisionManifest {
        namespace: namespace.parse().unwrap(),
        exports: found.exports,
        codecs: vec![if name == "proto" { Codec::Protobuf } else { Codec::Json }],
        descriptors: (name == "proto").then(|| artifacts.put(&super::streams::descriptors()).unwrap()),
        endpoints: if name == "feed" { FEED.iter().map(endpoint).collect() } else { Vec::new() },
        ..RevisionManifest::new(name.parse().unwrap(), code, settings)
    };
    let digest = publish(&artifacts, &key, &manifest).unwrap();
    runtime.revision(verify(&artifacts, &key, &digest).unwrap()).unwrap()
}

/// `svc`; what it does by other names than `Svc.…` has paths below `/as/`.
fn service() -> (&'static str, &'static [u8], Manifest) {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    let wasm = WASM.get_or_init(|| {
        let wit = "package test:guest; world guest { export micro:platform-sync/handler@0.1.0; }";
        component(wit, include_str!("service.wat"))
    });
    let route_of = |(endpoint, handler): (&str, &str)| Route {
        endpoint: endpoint.to_owned(),
        handler: Some(handler.to_owned()),
        method: vec!["GET".to_owned()],
        path: vec![format!("/as/{endpoint}")],
        ..Route::default()
    };
    let api = ["status", "name", "value", "headers", "cookies"].map(|endpoint| (endpoint, "api"));
    let rpc = ["big", "error", "metadata", "id"].map(|endpoint| (endpoint, "rpc"));
    let route = api.into_iter().chain(rpc).map(route_of).collect();
    ("svc", wasm, Manifest { route, ..Manifest::default() })
}

/// The endpoints of `feed`, and in which directions they stream.
const FEED: [(&str, &[&str]); 8] = [
    ("send", &["replies"]),
    ("early", &["replies"]),
    ("fail", &["replies"]),
    ("big", &["replies"]),
    ("loop", &["replies"]),
    ("count", &["requests"]),
    ("echo", &["requests", "replies"]),
    ("unary", &[]),
];

fn endpoint((name, directions): &(&str, &[&str])) -> micro_api::registry::Endpoint {
    let metadata = directions.iter().map(|direction| ((*direction).to_owned(), "stream".to_owned()));
    micro_api::registry::Endpoint {
        name: (*name).to_owned(),
        metadata: metadata.collect(),
        ..Default::default()
    }
}

/// `feed`: the guest of the runtime's tests.
fn feed() -> (&'static str, &'static [u8], Manifest) {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    let wasm = WASM.get_or_init(|| {
        let wit = "package test:guest; world guest { import micro:platform-sync/streaming@0.1.0;
            export micro:platform-sync/handler@0.1.0; }";
        component(wit, include_str!("../../../runtime/src/tests/streaming.wat"))
    });
    let route = FEED.iter().map(|(endpoint, _)| Route {
        endpoint: (*endpoint).to_owned(),
        handler: Some("rpc".to_owned()),
        method: vec!["GET".to_owned(), "POST".to_owned()],
        path: vec![format!("/stream/{endpoint}")],
        ..Route::default()
    });
    ("feed", wasm, Manifest { route: route.collect(), ..Manifest::default() })
}

/// Makes a component of a core module; the WIT package has its world, `guest`.
fn component(wit: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_path(root().join("wit/sync")).unwrap();
    let package = resolve.push_str("guest.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    let mut module = wat::parse_str(module).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// A component of `integration/guests`; built here where `cargo xtask` has not done so.
fn web() -> &'static [u8] {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    WASM.get_or_init(|| {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        let guests = target.join("guests");
        let path = guests.join("wasm32-wasip2/release/http_p2.wasm");
        if !path.exists() {
            let built = Command::new("cargo")
                .args(["build", "--release", "--locked", "--target", "wasm32-wasip2", "--manifest-path"])
                .arg(root().join("integration/guests/Cargo.toml"))
                .env("CARGO_TARGET_DIR", &guests)
                .status()
                .unwrap();
            assert!(built.success(), "build integration/guests");
        }
        std::fs::read(path).unwrap()
    })
}

fn root() -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../..")
}
