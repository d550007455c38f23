//! One build, from claim to revision.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use micro_api::deployment::{DeploymentState, RunRequest, Stage, StageReport};
use micro_api::{Namespace, ServiceName};
use micro_artifact::Digest;
use micro_db::CacheEntry;
use tokio_util::sync::CancellationToken;

use crate::builder::Builder;
use crate::error::Error;
use crate::folders::Job;
use crate::log::Log;
use crate::sandbox::{End, Spec, Stream};
use crate::stage::{build, detect, fetch, precompile, publish, recompile, validate};

/// How long a phase may take to notice that it is to stop.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// What a build tells the control plane.
#[async_trait]
pub(crate) trait Reporter: Send + Sync {
    async fn stage(&self, state: DeploymentState, report: StageReport) -> Result<(), Error>;
    async fn resolved(&self, service: &ServiceName, version: &str, commit: Option<&str>)
    -> Result<(), Error>;
    async fn cached(&self, key: &str) -> Result<Option<CacheEntry>, Error>;
    async fn cache(&self, key: &str, entry: CacheEntry) -> Result<(), Error>;
}

/// One build under way.
pub(crate) struct Build<'a> {
    pub(crate) builder: &'a Builder,
    pub(crate) namespace: &'a Namespace,
    pub(crate) request: &'a RunRequest,
    /// The revision to compile again, in place of building the request's source.
    pub(crate) recompile: Option<Digest>,
    pub(crate) job: Job,
    pub(crate) log: &'a Log,
    pub(crate) reporter: &'a dyn Reporter,
    pub(crate) stop: &'a CancellationToken,
}

/// Where and why a build ended.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    pub(crate) error: Error,
}

impl Build<'_> {
    /// The phases in order.
    pub(crate) async fn run(&self) -> Result<Digest, Failure> {
        if let Some(revision) = &self.recompile {
            let recompiled = self.stage(Stage::Precompile, recompile::run(self, revision)).await?;
            return self.stage(Stage::Publish, recompile::publish(self, recompiled)).await;
        }
        let fetched = self.stage(Stage::Fetch, fetch::run(self)).await?;
        let detected = self.stage(Stage::Detect, detect::run(self, &fetched)).await?;
        let built = self.stage(Stage::Build, build::run(self, &fetched, &detected)).await?;
        let valid = self.stage(Stage::Validate, validate::run(self, &built, &detected)).await?;
        let native = self.stage(Stage::Precompile, precompile::run(self, &built, valid.kind)).await?;
        self.stage(Stage::Publish, publish::run(self, &fetched, &detected, &built, valid, native)).await
    }

    /// Runs one phase, with its time in the log and the deployment's record.
    async fn stage<T: Cached>(
        &self,
        stage: Stage,
        work: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Failure> {
        let started = Instant::now();
        let started_ms = micro_db::now_ms();
        let failed = |error| Failure { stage, error };
        let state = state_of(stage);
        // The quick ones report once, at their end: each report is a write to disk.
        if matches!(stage, Stage::Fetch | Stage::Build | Stage::Precompile) {
            let report = StageReport { stage, started_ms, duration_ms: None, cached: false };
            self.reporter.stage(state, report).await.map_err(failed)?;
        }
        let result = tokio::select! {
            result = work => result.map_err(failed)?,
            () = self.overdue() => return Err(failed(Error::Abandoned)),
        };
        let duration_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let cached = result.is_cached();
        let note = if cached { " (unchanged)" } else { "" };
        self.log.info(stage, &format!("{} done in {duration_ms} ms{note}", stage.as_str()));
        let report = StageReport { stage, started_ms, duration_ms: Some(duration_ms), cached };
        self.reporter.stage(state, report).await.map_err(failed)?;
        Ok(result)
    }

    /// Runs end by themselves when told to stop, and clean up; what waits for something else is dropped a little later.
    async fn overdue(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    }

    /// Runs something in the sandbox; its output goes to the log, and to `lines`.
    pub(crate) async fn sandbox(
        &self,
        stage: Stage,
        spec: &Spec,
        lines: &mut (dyn FnMut(Stream, &str) + Send),
    ) -> Result<End, Error> {
        let mut sink = |stream: Stream, line: &str| {
            if stream == Stream::Stderr {
                self.log.info(stage, line);
            }
            lines(stream, line);
        };
        let end = self.builder.host.run(spec, self.stop, &mut sink).await;
        match end.map_err(|error| Error::Platform(error.into()))? {
            End::Cancelled => Err(Error::Abandoned),
            end => Ok(end),
        }
    }
}

/// Whether a phase's result was there before.
pub(crate) trait Cached {
    fn is_cached(&self) -> bool {
        false
    }
}

fn state_of(stage: Stage) -> DeploymentState {
    match stage {
        Stage::Fetch | Stage::Detect => DeploymentState::Fetching,
        Stage::Build => DeploymentState::Building,
        Stage::Validate => DeploymentState::Validating,
        Stage::Precompile | Stage::Publish | Stage::Start => DeploymentState::Precompiling,
    }
}
