//! A runtime with everything around it in a temporary folder, and guests to run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::BodyExt;
use micro_api::manifest::{Manifest, Reuse};
use micro_api::name::{Namespace, ServiceName};
use micro_artifact::{Code, Key, RevisionManifest, Store, publish, verify};
use micro_capability::client::{CallOptions, CallOrigin, Caller};
use micro_capability::http::{Egress, EgressConfig};
use micro_capability::log::{Logs, LogsConfig, Tail};
use micro_capability::{Capabilities, Context};
use micro_engine::EngineConfig;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::{Body, Call, Codec, Config, Fault, Revision, Runtime};

pub(super) struct Fixture {
    pub(super) runtime: Arc<Runtime>,
    logs: Arc<Logs>,
    store: Store,
    key: Key,
    _folder: tempfile::TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(super) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            engine: EngineConfig { slots: 64, ..EngineConfig::default() },
            memory_budget_bytes: Some(1 << 30),
            ..Config::default()
        };
        change(&mut config);
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(LogsConfig::new(folder.path().join("logs"))).unwrap();
        let egress = Egress::new(EgressConfig::default()).unwrap();
        let capabilities = Capabilities::in_memory(Arc::clone(&logs), Arc::new(Nobody), egress).unwrap();
        Self {
            runtime: Runtime::new(config, Arc::new(capabilities)).unwrap(),
            logs,
            store: Store::open(&micro_artifact::Config::Filesystem {
                folder: folder.path().join("artifacts"),
            })
            .unwrap(),
            key: Key::open(&folder.path().join("key")).unwrap(),
            _folder: folder,
        }
    }

    /// Publishes a component as the builder does and takes it up.
    pub(super) fn revision(&self, name: &str, wasm: &[u8], settings: Manifest) -> Arc<Revision> {
        let found = micro_engine::inspect(wasm).unwrap();
        let native = micro_engine::precompile(wasm, found.kind).unwrap();
        let code = Code {
            component: self.store.put(wasm).unwrap(),
            native: self.store.put(&native).unwrap(),
            engine: micro_engine::engine_id(found.kind),
        };
        let manifest = RevisionManifest {
            exports: found.exports,
            codecs: found.codecs,
            ..RevisionManifest::new(name.parse().unwrap(), code, settings)
        };
        let revision = publish(&self.store, &self.key, &manifest).unwrap();
        let artifact = verify(&self.store, &self.key, &revision).unwrap();
        self.runtime.revision(artifact).unwrap()
    }

    pub(super) fn hostile(&self, settings: Manifest) -> Arc<Revision> {
        self.revision("hostile", hostile(), settings)
    }

    /// The messages of a service's log.
    pub(super) async fn log(&self, name: &str) -> Vec<String> {
        self.logs.flush().await;
        let tail = Tail {
            namespace: Namespace::default(),
            service: name.parse().unwrap(),
            version: None,
            lines: 1_000,
            since_ms: None,
            follow: false,
        };
        self.logs.tail(tail).map(|record| record.message).collect().await
    }
}

/// A call of the hostile guest.
pub(super) fn call(endpoint: &str, request: &'static [u8]) -> Call {
    Call {
        endpoint: endpoint.to_owned(),
        codec: Codec::Json,
        request: Bytes::from_static(request),
        context: context(),
    }
}

pub(super) fn context() -> Context {
    Context {
        account: None,
        metadata: vec![("Key".to_owned(), "value".to_owned())],
        deadline: Instant::now() + Duration::from_secs(60),
        traceparent: String::new(),
        request_id: "request-1".to_owned(),
    }
}

pub(super) fn reuse(reuse: Reuse) -> Manifest {
    let mut settings = Manifest::default();
    settings.run.reuse = reuse;
    settings
}

pub(super) fn limits(change: impl FnOnce(&mut micro_api::manifest::Limits)) -> Manifest {
    let mut settings = Manifest::default();
    change(&mut settings.limits);
    settings
}

pub(super) fn get(path: &str) -> http::Request<Body> {
    http::Request::get(path).header("host", "greeter.localhost").body(bytes_body(Bytes::new())).unwrap()
}

pub(super) fn bytes_body(bytes: Bytes) -> Body {
    http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

pub(super) async fn text(response: http::Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(super) fn guest_error(fault: Fault) -> micro_api::Error {
    match fault {
        Fault::Guest(error) => error,
        other => panic!("not the guest's: {other:?}"),
    }
}

/// The component of `hostile.wat`.
pub(super) fn hostile() -> &'static [u8] {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    WASM.get_or_init(|| {
        let wit = [
            "package wasi:io@0.2.0; interface poll { resource pollable { block: func(); } }",
            "package wasi:clocks@0.2.0; interface monotonic-clock {
                use wasi:io/poll@0.2.0.{pollable}; subscribe-duration: func(when: u64) -> pollable; }",
            "package test:guest; world guest { import wasi:io/poll@0.2.0;
                import wasi:clocks/monotonic-clock@0.2.0; export micro:platform-sync/handler@0.1.0; }",
        ];
        component(&wit, include_str!("hostile.wat"))
    })
}

/// The component of `streaming.wat`.
pub(super) fn streaming() -> &'static [u8] {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    WASM.get_or_init(|| {
        let wit = "package test:guest; world guest { import micro:platform-sync/streaming@0.1.0;
            export micro:platform-sync/handler@0.1.0; }";
        component(&[wit], include_str!("streaming.wat"))
    })
}

/// Makes a component of a core module; the last of the WIT packages has its world, `guest`.
pub(super) fn component(wit: &[&str], module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_path(root().join("wit/sync")).unwrap();
    let packages =
        wit.iter().enumerate().map(|(index, wit)| resolve.push_str(format!("{index}.wit"), wit).unwrap());
    let last = packages.last().unwrap();
    let world = resolve.select_world(&[last], Some("guest")).unwrap();
    let mut module = wat::parse_str(module).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// A component of `integration/guests`; built here where `cargo xtask` has not done so.
pub(super) fn guest(name: &str) -> Vec<u8> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let guests = target.join("guests");
    let path = guests.join("wasm32-wasip2/release").join(name).with_extension("wasm");
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
}

fn root() -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../..")
}

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

    async fn open(
        &self,
        _origin: CallOrigin,
        service: ServiceName,
        _endpoint: String,
        _codec: micro_capability::client::Codec,
        _request: Option<Bytes>,
        _options: CallOptions,
    ) -> Result<micro_capability::client::Conversation, micro_api::Error> {
        Err(micro_api::Error::not_found(service.to_string(), "service not found"))
    }
}
