//! Every test runs on SQLite, and on PostgreSQL when `MICRO_TEST_POSTGRES` names a server.

mod blobs;
mod builder;
mod config;
mod contention;
mod copy;
mod external;
mod identities;
mod killed;
mod life;
mod nodes;
mod operator;
mod people;
mod property;
mod quota;
mod recompile;
mod recovery;
mod runs;
mod schema;
mod tables;
mod team;
mod turns;
mod usage;

use std::collections::BTreeMap;

use micro_api::Namespace;
use micro_api::deployment::{Deployment, DeploymentState, RunRequest, Source, Stage, StageReport};
use micro_artifact::Digest;
use sqlx::{Connection, Executor, PgConnection};

use crate::{Action, BuildJob, Db, Error};

/// A migrated database of its own.
struct Fixture {
    db: Db,
    url: String,
    _folder: tempfile::TempDir,
}

/// One of each kind that is there.
async fn each() -> Vec<Fixture> {
    let mut all = vec![sqlite().await];
    runs_on("SQLite");
    if let Ok(server) = std::env::var("MICRO_TEST_POSTGRES") {
        all.push(postgres(&server).await);
        runs_on("PostgreSQL");
    }
    all
}

/// Notes that this test runs on a database, for the matrix that `cargo xtask test` prints.
fn runs_on(database: &str) {
    use std::io::Write as _;
    let Some(path) = std::env::var_os("MICRO_TEST_MATRIX") else { return };
    let thread = std::thread::current();
    let case = thread.name().unwrap_or_default();
    let capability = if case.contains("::config::") { "config" } else { "control data" };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(format!("{capability}\t{database}\t{case}\n").as_bytes()).unwrap();
}

async fn sqlite() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("control.db").display());
    migrated(url, folder).await
}

async fn postgres(server: &str) -> Fixture {
    migrated(database(server).await, tempfile::tempdir().unwrap()).await
}

/// A new database of the server; its address.
async fn database(server: &str) -> String {
    let name = format!("micro_{}", uuid::Uuid::new_v4().simple());
    let mut admin = PgConnection::connect(server).await.unwrap();
    admin.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    format!("{base}/{name}")
}

async fn migrated(url: String, folder: tempfile::TempDir) -> Fixture {
    let db = Db::connect(&url).await.unwrap();
    db.migrate().await.unwrap();
    Fixture { db, url, _folder: folder }
}

fn namespace() -> Namespace {
    Namespace::default()
}

fn request(name: &str) -> RunRequest {
    let source = Source::Git {
        url: format!("https://git.invalid/{name}"),
        folder: String::new(),
        reference: String::new(),
    };
    RunRequest::new(source, format!("git.invalid/{name}"), name.parse().unwrap())
}

fn report(stage: Stage) -> StageReport {
    StageReport { stage, started_ms: 1, duration_ms: Some(1), cached: false }
}

fn revision(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

impl Fixture {
    async fn run(&self, name: &str) -> Deployment {
        self.db.submit(&namespace(), Action::Run, &request(name)).await.unwrap()
    }

    async fn update(&self, name: &str) -> Deployment {
        self.db.submit(&namespace(), Action::Update, &request(name)).await.unwrap()
    }

    /// A claim that lasts.
    async fn claim(&self) -> BuildJob {
        self.db.claim_job("worker", 60_000).await.unwrap().expect("a job waits")
    }

    /// A builder that does all of the next job.
    async fn build(&self) -> BuildJob {
        let job = self.claim().await;
        for (state, stage) in [
            (DeploymentState::Fetching, Stage::Fetch),
            (DeploymentState::Building, Stage::Build),
            (DeploymentState::Validating, Stage::Validate),
            (DeploymentState::Precompiling, Stage::Precompile),
        ] {
            self.db.stage(&job, state, report(stage)).await.unwrap();
        }
        self.db.complete(&job, &revision(&job.deployment)).await.unwrap();
        job
    }

    /// What the reconciler does once.
    async fn reconcile(&self) {
        let work = self.db.work("node").await.unwrap();
        for record in work.start {
            let record = self.db.starting(&record).await.unwrap();
            self.db.running(&record, false).await.unwrap();
        }
        for record in work.stop {
            self.db.stopped(&record).await.unwrap();
        }
    }

    async fn bring_up(&self, name: &str) -> Deployment {
        let deployment = self.run(name).await;
        self.build().await;
        self.reconcile().await;
        deployment
    }

    async fn state(&self, id: &str) -> DeploymentState {
        self.get(id).await.state
    }

    async fn get(&self, id: &str) -> Deployment {
        self.db.deployment(&namespace(), id).await.unwrap().unwrap().deployment
    }
}
