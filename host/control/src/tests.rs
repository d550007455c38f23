//! The real router and reconciler on a database of their own, with a node that only notes what it is asked.

mod api;
mod blobs;
mod config;
mod credentials;
mod deploy;
mod jobs;
mod logs;
mod node;
mod people;
mod registry;
mod routes;
mod schedules;
mod uploads;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use micro_api::deployment::{Deployment, DeploymentState, RunRequest, Source, Stage};
use micro_api::manifest::Manifest;
use micro_artifact::{Code, Codec, Exports, Key, Package, RevisionManifest, Store, Wasi};
use micro_auth::{MasterKey, PasswordConfig, Passwords, Sealer};
use micro_db::nodes::LEASE_MS;
use micro_db::{BuildJob, Db};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use crate::{Config, Control, Credentials, LocalPeer};
use node::FakeNode;

/// What tokens are for.
const AUDIENCE: &str = "http://localhost:8081";

/// Who sends a request.
#[derive(Clone, Copy)]
enum Who<'a> {
    /// The owner of this machine.
    Local,
    Nobody,
    /// With a credential.
    Holder(&'a str),
    /// With a credential, in a namespace.
    In(&'a str, &'a str),
}

struct Fixture {
    control: Arc<Control>,
    router: Router,
    db: Db,
    node: Arc<FakeNode>,
    builder: Arc<Notify>,
    folder: Arc<tempfile::TempDir>,
    /// Ends the tasks.
    _stop: Option<DropGuard>,
}

impl Fixture {
    /// The API and the reconciler.
    async fn new() -> Self {
        Self::open(Arc::new(tempfile::tempdir().unwrap()), Arc::new(FakeNode::default()), true).await
    }

    /// The API alone.
    async fn without_tasks() -> Self {
        Self::open(Arc::new(tempfile::tempdir().unwrap()), Arc::new(FakeNode::default()), false).await
    }

    async fn open(folder: Arc<tempfile::TempDir>, node: Arc<FakeNode>, tasks: bool) -> Self {
        Self::open_with(folder, node, tasks, |_| ()).await
    }

    async fn open_with(
        folder: Arc<tempfile::TempDir>,
        node: Arc<FakeNode>,
        tasks: bool,
        adjust: impl FnOnce(&mut Config),
    ) -> Self {
        // Made again by each process of a test: what one sealed the next must open.
        let sealer = Sealer::new(MasterKey::from_bytes(&[7; 32]), Vec::new());
        Self::open_sealed(folder, node, tasks, sealer, adjust).await
    }

    async fn open_sealed(
        folder: Arc<tempfile::TempDir>,
        node: Arc<FakeNode>,
        tasks: bool,
        sealer: Sealer,
        adjust: impl FnOnce(&mut Config),
    ) -> Self {
        let path = folder.path();
        let db = Db::connect(&format!("sqlite://{}", path.join("control.db").display())).await.unwrap();
        db.migrate().await.unwrap();
        let store =
            Store::open(&micro_artifact::Config::Filesystem { folder: path.join("artifacts") }).unwrap();
        let key = Key::open(&path.join("artifact.key")).unwrap();
        let mut config = Config::new("0.1.0", path.join("uploads"), store, key);
        // As the data folder keeps it.
        config.node_id = "node".to_owned();
        config.backoff = Duration::from_millis(1);
        config.upload_bytes_max = 64 * 1024;
        config.uploads_bytes_max = 160 * 1024;
        config.body_bytes_max = 64 * 1024;
        config.drain_timeout = Duration::from_secs(5);
        adjust(&mut config);
        let builder = Arc::new(Notify::new());
        let sealer = Arc::new(sealer);
        crate::first_start(&db).await.unwrap();
        let credentials = Credentials::open(db.clone(), sealer, AUDIENCE.to_owned()).await.unwrap();
        let passwords = PasswordConfig { memory_kib: 8, passes: 1, ..PasswordConfig::default() };
        let passwords = Arc::new(Passwords::new(passwords).unwrap());
        let control = Control::new(
            config,
            db.clone(),
            Arc::clone(&node) as Arc<dyn crate::Node>,
            Arc::clone(&builder),
            credentials,
            passwords,
        );
        let stop = CancellationToken::new();
        if tasks {
            tokio::spawn(Arc::clone(&control).run(stop.clone()));
        }
        let router = control.router(Router::new().route("/rpc", axum::routing::post(|| async { "rpc" })));
        Self { control, router, db, node, builder, folder, _stop: tasks.then(|| stop.drop_guard()) }
    }

    /// Ends this process and starts another on the same data.
    async fn restart(self) -> Self {
        let Self { folder, .. } = self;
        Self::open(folder, Arc::new(FakeNode::default()), true).await
    }

    /// As the owner of this machine, by the socket.
    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.send_as(Who::Local, method, path, body).await
    }

    async fn send_as(
        &self,
        who: Who<'_>,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost:8081")
            .header(header::CONTENT_TYPE, "application/json");
        match who {
            Who::Local => request = request.extension(LocalPeer),
            Who::Nobody => {}
            Who::Holder(credential) => {
                request = request.header(header::AUTHORIZATION, format!("Bearer {credential}"));
            }
            Who::In(credential, namespace) => {
                request = request.header(header::AUTHORIZATION, format!("Bearer {credential}"));
                request = request.header("micro-namespace", namespace);
            }
        }
        let request =
            request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap();
        let (status, text) = self.raw(request).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn raw(&self, request: Request<Body>) -> (StatusCode, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send("GET", path, None).await
    }

    async fn run(&self, name: &str) -> Deployment {
        let (status, answer) = self.send("POST", "/v1/services", Some(json!(request(name)))).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        serde_json::from_value(answer).unwrap()
    }

    async fn update(&self, name: &str) -> Deployment {
        let (status, answer) = self.send("PUT", "/v1/services", Some(json!(request(name)))).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        serde_json::from_value(answer).unwrap()
    }

    async fn claim(&self) -> BuildJob {
        self.db.claim_job("builder", 60_000).await.unwrap().expect("a job waits")
    }

    /// What the builder does, without building.
    async fn build(&self, exports: Exports) -> BuildJob {
        self.build_with(exports, Manifest::default()).await
    }

    async fn build_with(&self, exports: Exports, settings: Manifest) -> BuildJob {
        let job = self.claim().await;
        let store = &self.control.config.artifacts;
        let code = Code {
            component: store.put(b"component").unwrap(),
            native: store.put(job.deployment.as_bytes()).unwrap(),
            engine: "test".to_owned(),
        };
        let manifest = RevisionManifest {
            version: job.request.version.clone(),
            exports,
            codecs: vec![Codec::Json],
            ..RevisionManifest::new(job.request.name.clone(), code, settings)
        };
        let revision = micro_artifact::publish(store, &self.control.config.key, &manifest).unwrap();
        self.db.complete(&job, &revision).await.unwrap();
        job
    }

    async fn build_service(&self) -> BuildJob {
        self.build(Exports { handler: Some(Package::Platform), ..Exports::default() }).await
    }

    async fn build_job(&self) -> BuildJob {
        self.build(Exports { run: Some(Wasi::P2), ..Exports::default() }).await
    }

    /// Long-polls as the CLI does, until the deployment is in `state`.
    async fn until(&self, id: &str, state: DeploymentState) -> Deployment {
        let mut seen = 0;
        for _ in 0..50 {
            let (status, answer) = self.get(&format!("/v1/deployments/{id}?wait_ms=5000&seen={seen}")).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
            let deployment: Deployment = serde_json::from_value(answer).unwrap();
            if deployment.state == state {
                return deployment;
            }
            assert!(!ended(deployment.state), "waiting for {state:?}: {deployment:?}");
            seen = deployment.updated_ms;
        }
        panic!("it never became {state:?}");
    }

    async fn bring_up(&self, name: &str) -> Deployment {
        let deployment = self.run(name).await;
        self.build_service().await;
        self.until(&deployment.id, DeploymentState::Running).await
    }

    async fn fail_build(&self, detail: &str) -> BuildJob {
        let job = self.claim().await;
        self.db.fail(&job, Stage::Build, micro_api::Error::bad_request("builder", detail)).await.unwrap();
        job
    }
}

/// Another node, which has its lease and does nothing.
struct Elsewhere {
    db: Db,
    stop: CancellationToken,
    beats: tokio::task::JoinHandle<()>,
}

impl Elsewhere {
    async fn begin(db: &Db) -> Self {
        let (db, stop) = (db.clone(), CancellationToken::new());
        db.beat_node("elsewhere", "process", LEASE_MS).await.unwrap();
        let (of, ended) = (db.clone(), stop.clone());
        let beats = tokio::spawn(async move {
            let pause = Duration::from_millis(LEASE_MS.unsigned_abs() / 5);
            while tokio::time::timeout(pause, ended.cancelled()).await.is_err() {
                of.beat_node("elsewhere", "process", LEASE_MS).await.unwrap();
            }
        });
        Self { db, stop, beats }
    }

    async fn end(self) {
        self.stop.cancel();
        self.beats.await.unwrap();
        self.db.release_node("elsewhere", "process").await.unwrap();
    }
}

fn ended(state: DeploymentState) -> bool {
    matches!(state, DeploymentState::Stopped | DeploymentState::Superseded | DeploymentState::Failed)
}

fn request(name: &str) -> RunRequest {
    let source = Source::Git {
        url: format!("https://git.invalid/{name}"),
        folder: String::new(),
        reference: String::new(),
    };
    let request = RunRequest::new(source, format!("git.invalid/{name}"), name.parse().unwrap());
    RunRequest { retries: 2, ..request }
}

/// The error object, checked for its shape.
fn error(answer: &(StatusCode, Value)) -> (u16, String) {
    let error: micro_api::Error = serde_json::from_value(answer.1.clone()).unwrap();
    assert_eq!(error.code, answer.0.as_u16(), "{error}");
    assert!(!error.id.is_empty() && !error.status.is_empty(), "{error}");
    (error.code, error.detail)
}
