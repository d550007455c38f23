//! Claims jobs and builds them, as many at once as the operator allows.
//!
//! Standard input is the server's: a line means that a job may wait, its end that the server is gone. Then every run is
//! killed and every job given back. A job is a lease: while it is built the lease is renewed, by a task that waits for
//! nothing else; when renewing says that the job is no longer ours (killed, superseded, taken over) its run is killed.
//!
//! Whatever writes to the database is awaited to its end: a future that is left behind in a transaction, neither polled
//! nor dropped, holds the lock that all writers of all processes wait for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_trait::async_trait;
use micro_api::ServiceName;
use micro_api::deployment::{DeploymentState, Source, StageReport};
use micro_db::{BuildJob, CacheEntry, Db};
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::builder::Builder;
use crate::error::Error;
use crate::log::Log;
use crate::pipeline::{Build, Failure, Reporter};

/// A job that nobody poked for is found after this long.
const POLL: Duration = Duration::from_millis(250);
/// How long a line of a build's log may wait.
const FLUSH: Duration = Duration::from_millis(200);
/// How soon a builder notices that its job was killed, or its namespace blocked.
const LOOK: Duration = Duration::from_millis(500);
/// Caches are bounded this often at most.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// The pause after the database failed.
const RETRY: Duration = Duration::from_secs(1);

/// Works until standard input ends or the process is told to stop.
pub(crate) async fn run(builder: Builder, db: Db) -> Result<()> {
    let (stop, poke) = (CancellationToken::new(), Arc::new(Notify::new()));
    listen(stop.clone(), Arc::clone(&poke))?;
    let worker = format!("{}-{}", hostname(), std::process::id());
    tracing::info!(
        worker,
        builds = builder.config.builds,
        sandbox = builder.host.describe(),
        "Builder started"
    );
    let slots = Arc::new(Semaphore::new(builder.config.builds));
    let shared = Arc::new(Shared { builder, db, stop: stop.clone(), pruned: Mutex::new(Instant::now()) });
    let mut jobs = JoinSet::new();
    let lease_ms = i64::try_from(shared.builder.config.lease.as_millis()).unwrap_or(i64::MAX);
    while !stop.is_cancelled() {
        let permit = tokio::select! {
            permit = Arc::clone(&slots).acquire_owned() => permit.context("slots")?,
            () = stop.cancelled() => break,
        };
        let claimed = shared.db.claim_job(&worker, lease_ms).await;
        let pause = match claimed {
            Ok(Some(job)) => {
                let shared = Arc::clone(&shared);
                jobs.spawn(async move {
                    shared.build(&job, lease_ms).await;
                    drop(permit);
                });
                continue;
            }
            Ok(None) => POLL,
            Err(error) => {
                tracing::error!(error = %chain(&error), "Cannot claim a job");
                RETRY
            }
        };
        drop(permit);
        while jobs.try_join_next().is_some() {}
        tokio::select! {
            () = poke.notified() => {}
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
    while jobs.join_next().await.is_some() {}
    tracing::info!("Builder stopped");
    Ok(())
}

struct Shared {
    builder: Builder,
    db: Db,
    stop: CancellationToken,
    /// When the caches were last bounded.
    pruned: Mutex<Instant>,
}

impl Shared {
    /// One job from claim to its last word.
    async fn build(self: &Arc<Self>, job: &BuildJob, lease_ms: i64) {
        let service = job.request.name.to_string();
        tracing::info!(deployment = job.deployment, service, attempt = job.attempt, "Building");
        let log = Log::new(&job.request.version);
        let stop = self.stop.child_token();
        let built = CancellationToken::new();
        // Ends with this function, however that ends.
        let _keeping = {
            let ended = CancellationToken::new();
            tokio::spawn(Arc::clone(self).keep(job.clone(), stop.clone(), ended.clone(), lease_ms));
            ended.drop_guard()
        };
        let building = async {
            let result = self.pipeline(job, &log, &stop).await;
            built.cancel();
            result
        };
        let (result, ()) = tokio::join!(building, self.write_log(job, &log, &built));
        let from_git = matches!(job.request.source, Source::Git { .. });
        if let Err(failure) = &result
            && !matches!(failure.error, Error::Abandoned)
        {
            // What follows the first line is the compiler's, which is in the log already.
            let detail = failure.error.to_api(failure.stage, from_git).detail;
            log.error(failure.stage, detail.lines().next().unwrap_or_default());
        }
        self.flush(job, &log).await;
        if let Err(error) = self.finish(job, result).await {
            tracing::warn!(deployment = job.deployment, error = %chain(&error), "Cannot finish a build");
        }
        self.prune().await;
    }

    /// Bounds the caches, once a while: it walks them all.
    async fn prune(self: &Arc<Self>) {
        {
            let mut last = self.pruned.lock();
            if last.elapsed() < PRUNE_INTERVAL {
                return;
            }
            *last = Instant::now();
        }
        let shared = Arc::clone(self);
        let pruned = tokio::task::spawn_blocking(move || {
            let bytes_max = shared.builder.config.cache_bytes_max;
            shared.builder.folders.prune(bytes_max)
        });
        if let Ok(Err(error)) = pruned.await {
            tracing::warn!("Cannot bound the caches: {error:#}");
        }
    }

    async fn pipeline(
        &self,
        job: &BuildJob,
        log: &Log,
        stop: &CancellationToken,
    ) -> Result<micro_artifact::Digest, Failure> {
        let failed = |error: anyhow::Error| Failure {
            stage: micro_api::deployment::Stage::Fetch,
            error: Error::Platform(error),
        };
        let reporter = DbReporter { db: &self.db, job };
        let build = Build {
            builder: &self.builder,
            namespace: &job.namespace,
            request: &job.request,
            recompile: job.recompile,
            job: self.builder.folders.job(&job.id).map_err(failed)?,
            log,
            reporter: &reporter,
            stop,
        };
        build.run().await
    }

    async fn finish(
        &self,
        job: &BuildJob,
        result: Result<micro_artifact::Digest, Failure>,
    ) -> Result<(), micro_db::Error> {
        let failure = match result {
            Ok(revision) => {
                tracing::info!(deployment = job.deployment, %revision, "Built");
                return self.db.complete(job, &revision).await;
            }
            Err(failure) => failure,
        };
        match &failure.error {
            // Stopping: the next builder takes it up at once.
            Error::Abandoned if self.stop.is_cancelled() => return self.db.release_job(job).await,
            Error::Abandoned | Error::Refused(micro_db::Error::LeaseLost) => {
                tracing::info!(deployment = job.deployment, "Gave a build up: the job is no longer ours");
                return Ok(());
            }
            Error::Platform(error) => {
                tracing::error!(deployment = job.deployment, "The builder failed: {error:#}");
            }
            error => tracing::info!(deployment = job.deployment, %error, "Build failed"),
        }
        let from_git = matches!(job.request.source, Source::Git { .. });
        self.db.fail(job, failure.stage, failure.error.to_api(failure.stage, from_git)).await
    }

    /// Renews the lease until the job has `ended`.
    async fn keep(
        self: Arc<Self>,
        job: BuildJob,
        stop: CancellationToken,
        ended: CancellationToken,
        lease_ms: i64,
    ) {
        let mut beat = tokio::time::interval(self.builder.config.lease / 3);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let held = tokio::select! {
                _ = beat.tick() => self.db.heartbeat(&job, lease_ms).await,
                _ = look.tick() => self.db.holds_job(&job).await,
                () = ended.cancelled() => return,
            };
            match held {
                Ok(true) => {}
                Ok(false) => stop.cancel(),
                // The lease may outlive a short outage; if not, the fence keeps this builder from doing harm.
                Err(error) => tracing::warn!(error = %chain(&error), "Cannot renew a lease"),
            }
        }
    }

    /// Writes the log while the job is built. What comes last is left to the caller.
    async fn write_log(&self, job: &BuildJob, log: &Log, built: &CancellationToken) {
        let mut flush = tokio::time::interval(FLUSH);
        flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = flush.tick() => {}
                () = built.cancelled() => return,
            }
            self.flush(job, log).await;
        }
    }

    async fn flush(&self, job: &BuildJob, log: &Log) {
        let lines = log.take();
        if lines.is_empty() {
            return;
        }
        match self.db.append_build_log(job, lines).await {
            Ok(()) | Err(micro_db::Error::LeaseLost) => {}
            Err(error) => tracing::warn!(error = %chain(&error), "Cannot write a build's log"),
        }
    }
}

struct DbReporter<'a> {
    db: &'a Db,
    job: &'a BuildJob,
}

#[async_trait]
impl Reporter for DbReporter<'_> {
    async fn stage(&self, state: DeploymentState, report: StageReport) -> Result<(), Error> {
        Ok(self.db.stage(self.job, state, report).await?)
    }

    async fn resolved(
        &self,
        service: &ServiceName,
        version: &str,
        commit: Option<&str>,
    ) -> Result<(), Error> {
        Ok(self.db.resolved(self.job, service, version, commit).await?)
    }

    async fn cached(&self, key: &str) -> Result<Option<CacheEntry>, Error> {
        Ok(self.db.build_cache_get(&self.job.namespace, key).await?)
    }

    async fn cache(&self, key: &str, entry: CacheEntry) -> Result<(), Error> {
        Ok(self.db.build_cache_put(&self.job.namespace, key, &entry).await?)
    }
}

/// Turns standard input and signals into `poke` and `stop`.
fn listen(stop: CancellationToken, poke: Arc<Notify>) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut interrupt) = (
        signal(SignalKind::terminate()).context("wait for SIGTERM")?,
        signal(SignalKind::interrupt()).context("wait for SIGINT")?,
    );
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopping.cancel();
    });
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(_)) = lines.next_line().await {
            poke.notify_one();
        }
        stop.cancel();
    });
    Ok(())
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// An error with its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes: Vec<String> =
        std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    causes.join(": ")
}
