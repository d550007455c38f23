//! The parts of this process together, without its listeners.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use micro_api::Namespace;
use micro_api::deployment::{DeploymentState, RunRequest, Source};
use micro_api::manifest::Manifest;
use micro_artifact::{Code, Exports, Key, RevisionManifest, Store, Wasi, publish};
use micro_auth::{MasterKey, PasswordConfig, Passwords, Sealer};
use micro_capability::registry::Teller;
use micro_capability::store::{Admin, Memory};
use micro_capability::{Capabilities, blob, broker, events, http, log};
use micro_control::{Control, Credentials, Load, Node as _};
use micro_db::{Action, Db};
use micro_engine::{EngineKind, engine_id, inspect, precompile};
use micro_gateway::{Dispatcher, Snapshot};
use micro_runtime::Runtime;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::directory::Directory;
use crate::node::{Node, Parts};
use crate::usage::Meters;

/// A component that exports `wasi:cli/run`.
const JOB: &str = r#"(component
    (core module $m (func (export "run") (result i32) i32.const 0))
    (core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $inst (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $inst)))"#;

/// A node as `wire` makes it.
fn node(data: &Path, artifacts: &Store, key: &Key, log_of_events: Arc<events::Sqlite>) -> Node {
    let (snapshot, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let directory = Directory::new("0.1.0", "127.0.0.1:0");
    let dispatcher = Dispatcher::new(snapshots, Arc::new(micro_gateway::NoQuota));
    let logs = log::Logs::open(log::LogsConfig::new(data.join("logs"))).unwrap();
    let store = Arc::new(Memory::new(1 << 20));
    let egress = http::Egress::new(http::EgressConfig::default()).unwrap();
    let messages = Arc::new(broker::Memory::new(broker::MemoryConfig::default()));
    let files = Arc::new(blob::Blobs::memory());
    let capabilities = Arc::new(Capabilities {
        blobs: Arc::clone(&files),
        broker: messages.clone(),
        events: log_of_events.clone(),
        tallies: Arc::default(),
        store: Arc::clone(&store) as Arc<_>,
        logs: Arc::clone(&logs),
        client: dispatcher.clone(),
        config: Arc::<micro_capability::config::Memory>::default(),
        registry: directory.clone(),
        sync: Arc::<micro_capability::sync::Memory>::default(),
        egress: Arc::clone(&egress),
    });
    let runtime = Runtime::new(micro_runtime::Config::default(), capabilities).unwrap();
    dispatcher.bind(&runtime);
    let (artifacts, key) = (artifacts.clone(), key.clone());
    let address = "127.0.0.1:0".to_owned();
    let (meters, plans, store) = (Meters::new(), Arc::default(), Admin::new(store));
    let pumps = broker::Broker::new(messages.clone(), dispatcher.clone(), Arc::clone(&logs));
    let teller = Teller::new(messages.clone(), Arc::clone(directory.log()));
    let consumers = events::Consumers::new(log_of_events.clone(), dispatcher.clone(), Arc::clone(&logs));
    let (broker, id) = (broker::Admin::new(messages), "n1".to_owned());
    let blobs = blob::Admin::new(files);
    let config_changed = Arc::default();
    Node::new(Parts {
        runtime,
        logs,
        store,
        blobs,
        broker,
        pumps,
        teller,
        caller: dispatcher,
        consumers,
        events: events::Admin::new(log_of_events),
        id,
        artifacts,
        key,
        snapshot,
        directory,
        egress,
        meters,
        plans,
        address,
        config_changed,
    })
}

/// A revision as an earlier version of the platform left it.
fn revision(artifacts: &Store, wasm: &[u8]) -> RevisionManifest {
    let code = Code {
        component: artifacts.put(wasm).unwrap(),
        native: artifacts.put(b"code of long ago").unwrap(),
        engine: "sync-0000000000000000".to_owned(),
    };
    RevisionManifest {
        exports: Exports { run: Some(Wasi::P2), ..Exports::default() },
        ..RevisionManifest::new("app".parse().unwrap(), code, Manifest::default())
    }
}

fn request() -> RunRequest {
    let source = Source::Git {
        url: "https://git.invalid/app".to_owned(),
        folder: String::new(),
        reference: String::new(),
    };
    RunRequest { retries: 0, ..RunRequest::new(source, "git.invalid/app", "app".parse().unwrap()) }
}

async fn state(db: &Db, id: &str, wanted: DeploymentState) {
    let waiting = async {
        while db.deployment_by_id(id).await.unwrap().unwrap().deployment.state != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(30), waiting).await.is_err() {
        panic!("it never became {wanted:?}: {:?}", db.deployment_by_id(id).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_on_another_engine_runs_again() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path();
    let db = Db::connect(&format!("sqlite://{}", data.join("control.db").display())).await.unwrap();
    db.migrate().await.unwrap();
    let artifacts =
        Store::open(&micro_artifact::Config::Filesystem { folder: data.join("artifacts") }).unwrap();
    let key = Key::open(&data.join("artifact.key")).unwrap();
    let wasm = wat::parse_str(JOB).unwrap();
    let mut manifest = revision(&artifacts, &wasm);
    let before = publish(&artifacts, &key, &manifest).unwrap();
    db.submit(&Namespace::default(), Action::Run, &request()).await.unwrap();
    let job = db.claim_job("builder", 60_000).await.unwrap().unwrap();
    db.complete(&job, &before).await.unwrap();
    let record = db.work("node").await.unwrap().start.remove(0);
    let record = db.starting(&record).await.unwrap();
    let record = db.running(&record, true).await.unwrap();

    // The platform starts in its new version.
    let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let mut config =
        micro_control::Config::new("0.1.0", data.join("uploads"), artifacts.clone(), key.clone());
    config.engines = EngineKind::ALL.map(engine_id).to_vec();
    let events = events::Sqlite::open(&events::SqliteConfig::memory()).unwrap();
    let node = Arc::new(node(data, &artifacts, &key, events));
    let sealer = Arc::new(Sealer::new(MasterKey::from_bytes(&[7; 32]), Vec::new()));
    let credentials =
        Credentials::open(db.clone(), sealer, "http://localhost:8081".to_owned()).await.unwrap();
    let passwords = Passwords::new(PasswordConfig::default()).unwrap();
    let control = Control::new(config, db.clone(), node, Arc::clone(&wake), credentials, Arc::new(passwords));
    let running = tokio::spawn(control.run(stop.clone()));
    tokio::time::timeout(Duration::from_secs(30), wake.notified()).await.expect("a builder is asked");
    let job = db.claim_job("builder", 60_000).await.unwrap().unwrap();
    assert_eq!(job.recompile, Some(before));
    state(&db, &record.deployment.id, DeploymentState::Superseded).await;
    state(&db, &job.deployment, DeploymentState::Queued).await;

    // What the builder does, without its sandbox.
    let kind = inspect(&wasm).unwrap().kind;
    manifest.native = artifacts.put(&precompile(&wasm, kind).unwrap()).unwrap();
    manifest.engine = engine_id(kind);
    db.complete(&job, &publish(&artifacts, &key, &manifest).unwrap()).await.unwrap();
    // It is loaded, and runs to its end.
    state(&db, &job.deployment, DeploymentState::Stopped).await;
    let ended = db.deployment_by_id(&job.deployment).await.unwrap().unwrap();
    assert!(ended.job && ended.deployment.error.is_none(), "{ended:?}");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn what_events_hold_is_told_and_the_rest_also_where_they_do_not_answer() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, folder) = (scratch.path(), scratch.path().join("events"));
    let artifacts =
        Store::open(&micro_artifact::Config::Filesystem { folder: data.join("artifacts") }).unwrap();
    let key = Key::open(&data.join("artifact.key")).unwrap();
    let events = events::Sqlite::open(&events::SqliteConfig::new(folder.clone())).unwrap();
    let node = node(data, &artifacts, &key, events);
    let own = Namespace::default();
    assert_eq!(node.load(&own).await, Load::default());
    let publish = serde_json::json!({"topic": "t", "message": {"text": "x".repeat(1_000)}});
    node.events_publish(&own, serde_json::from_value(publish).unwrap()).await.unwrap();
    let held = node.load(&own).await.event_bytes;
    assert!((1_128..2_000).contains(&held), "{held}");
    assert_eq!(node.load(&"nobody".parse().unwrap()).await, Load::default());
    std::fs::write(folder.join("broken.db"), "none of SQLite's").unwrap();
    assert_eq!(node.load(&"broken".parse().unwrap()).await, Load::default());
}
