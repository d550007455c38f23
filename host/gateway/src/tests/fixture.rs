//! A gateway that listens, with a runtime and services around it, and clients that speak byte by byte.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use micro_api::Namespace;
use micro_api::manifest::{Manifest, Route};
use micro_artifact::{Codec, Key, RevisionManifest, Store, publish, verify};
use micro_capability::http::{Egress, EgressConfig};
use micro_capability::log::{Logs, LogsConfig};
use micro_capability::registry::Directory;
use micro_capability::{Capabilities, store};
use micro_runtime::{Revision, Runtime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::{Config, Dispatcher, Entry, Gateway, Snapshot};

/// What a test waits for comes long before.
const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway on a port of its own; its services are `svc` (`service.wat`) and, where asked for, `web` (the guest
/// `http_p2`).
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) gateway: Arc<Gateway>,
    pub(super) stop: CancellationToken,
    pub(super) serving: JoinHandle<()>,
    _folder: tempfile::TempDir,
    _snapshot: watch::Sender<Arc<Snapshot>>,
}

impl Server {
    pub(super) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::with(&[service()], change).await
    }

    pub(super) async fn with_web(change: impl FnOnce(&mut Config)) -> Self {
        Self::with(&[service(), ("web", web(), Manifest::default())], change).await
    }

    async fn with(services: &[(&str, &[u8], Manifest)], change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let folder = tempfile::tempdir().unwrap();
        let (sender, receiver) = watch::channel(Arc::default());
        let capabilities = Arc::new(Capabilities {
            store: Arc::new(store::Memory::new(1 << 20)),
            logs: Logs::open(LogsConfig::new(folder.path().join("logs"))).unwrap(),
            client: Dispatcher::new(receiver.clone()),
            registry: Arc::new(Nothing),
            egress: Egress::new(EgressConfig::default()).unwrap(),
        });
        let mut limits = micro_runtime::Config { memory_budget_bytes: Some(1 << 30), ..Default::default() };
        limits.engine.slots = 32;
        let runtime = Runtime::new(limits, capabilities).unwrap();
        let entries = services.iter().map(|(name, wasm, settings)| {
            let revision = revision(&runtime, folder.path(), name, wasm, settings.clone());
            Arc::new(Entry::new(revision).unwrap())
        });
        sender.send_replace(Arc::new(Snapshot::new(entries)));
        let gateway = Gateway::new(config, runtime, receiver);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(Arc::clone(&gateway).serve(listener, stop.clone()));
        Self { address, gateway, stop, serving, _folder: folder, _snapshot: sender }
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
    let manifest = RevisionManifest {
        namespace: Namespace::default(),
        service: name.parse().unwrap(),
        version: "latest".to_owned(),
        component: artifacts.put(wasm).unwrap(),
        native: artifacts.put(&native).unwrap(),
        engine: micro_engine::engine_id(found.kind),
        exports: found.exports,
        imports: Vec::new(),
        descriptors: None,
        codecs: vec![Codec::Json],
        endpoints: Vec::new(),
        env: settings.run.env.clone(),
        args: settings.run.args.clone(),
        settings,
        commit: None,
    };
    let digest = publish(&artifacts, &key, &manifest).unwrap();
    runtime.revision(verify(&artifacts, &key, &digest).unwrap()).unwrap()
}

/// `svc`; what it does by other names than `Svc.…` has paths below `/as/`.
fn service() -> (&'static str, &'static [u8], Manifest) {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    let wasm = WASM.get_or_init(|| {
        let mut resolve = Resolve::default();
        resolve.push_path(root().join("wit/sync")).unwrap();
        let wit = "package test:guest; world guest { export micro:platform-sync/handler@0.1.0; }";
        let package = resolve.push_str("guest.wit", wit).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        let mut module = wat::parse_str(include_str!("service.wat")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
    });
    let route_of = |(endpoint, handler): (&str, &str)| Route {
        endpoint: endpoint.to_owned(),
        handler: Some(handler.to_owned()),
        method: vec!["GET".to_owned()],
        path: vec![format!("/as/{endpoint}")],
        ..Route::default()
    };
    let route = [("status", "api"), ("name", "api"), ("value", "api"), ("big", "rpc"), ("error", "rpc")];
    let route = route.map(route_of).to_vec();
    ("svc", wasm, Manifest { route, ..Manifest::default() })
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
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A registry without services.
struct Nothing;

#[async_trait::async_trait]
impl Directory for Nothing {
    async fn get(
        &self,
        _namespace: &Namespace,
        _service: &micro_api::ServiceName,
    ) -> Vec<micro_api::registry::Service> {
        Vec::new()
    }

    async fn list(&self, _namespace: &Namespace) -> Vec<String> {
        Vec::new()
    }
}
