//! Build jobs, as a builder sees them: claim, beat, report, finish.
//!
//! A claim is a lease with a fence: the attempt number. When a builder dies its lease runs out and the next claim takes
//! the job with a higher number; whatever the dead one still sends changes nothing. A job that took down its builder
//! [`ATTEMPTS_MAX`] times fails.

use micro_api::deployment::{DeploymentState, RunRequest, Stage, StageReport};
use micro_api::{Namespace, ServiceName};
use micro_artifact::Digest;

use crate::dialect::Tx;
use crate::query::query;
use crate::row::{decode, encode};
use crate::services::VersionKey;
use crate::state::{Held, is_building};
use crate::{Action, Db, Error, Quotas, now_ms, quota, usage};

/// Builders that may die on one job before it fails.
pub const ATTEMPTS_MAX: i64 = 3;

/// A claimed job.
#[derive(Debug, Clone)]
pub struct BuildJob {
    /// The job's id, not the deployment's.
    pub id: String,
    /// The deployment to build.
    pub deployment: String,
    /// Whose it is.
    pub namespace: Namespace,
    /// What was asked for.
    pub request: RunRequest,
    /// The revision whose component is compiled again for the engine of today, with nothing fetched or built.
    pub recompile: Option<Digest>,
    /// 1 for the first claim. The fence: only the holder of the newest attempt can change anything.
    pub attempt: i64,
    worker: String,
}

impl Db {
    /// Takes a free job for `worker`, an id of one process. Lives `lease_ms` unless beaten. Namespaces take turns; in
    /// each the oldest job is the first.
    ///
    /// A job that was claimed before and whose builder died starts anew: its state is `queued` and its stages are empty.
    pub async fn claim_job(&self, worker: &str, lease_ms: i64) -> Result<Option<BuildJob>, Error> {
        // Most questions find nothing: they should not make writers wait.
        let waits = query(
            "jobs.waits",
            "SELECT id FROM jobs WHERE lease_until_ms <= $1 AND NOT EXISTS (
               SELECT 1 FROM namespaces n WHERE n.namespace = jobs.namespace AND n.blocked <> 0) LIMIT 1",
        );
        if waits.bind(now_ms()).read_first::<(String,)>(self).await?.is_none() {
            return Ok(None);
        }
        loop {
            let mut tx = self.begin_unlocked().await?;
            let Some((id, deployment, namespace, attempts, recompile)) = tx.free_job(now_ms()).await? else {
                return Ok(None);
            };
            tx.lock(&namespace).await?;
            let held = Held::load(&mut tx, &deployment).await?;
            if !is_building(held.state()) || attempts >= ATTEMPTS_MAX {
                // Each round removes a job, so this ends.
                give_up(&mut tx, held, &id).await?;
                tx.commit().await?;
                continue;
            }
            let quotas = quotas_of(&mut tx, &id).await?;
            if let Err(error) = quota::check_build(&mut tx, &namespace, &quotas).await {
                // Those that were queued before the month's minutes were used.
                refuse(&mut tx, held, error).await?;
                tx.commit().await?;
                continue;
            }
            let attempt = attempts + 1;
            query(
                "jobs.claim",
                "UPDATE jobs SET worker = $2, lease_until_ms = $3, attempt = $4, claimed_ms = $5 WHERE id = $1",
            )
            .bind(&id)
            .bind(worker)
            .bind(now_ms().saturating_add(lease_ms))
            .bind(attempt)
            .bind(now_ms())
            .execute(&mut tx)
            .await?;
            query(
                "build_turns.take",
                "INSERT INTO build_turns (namespace, claimed_ms) VALUES ($1, $2)
                 ON CONFLICT (namespace) DO UPDATE SET claimed_ms = excluded.claimed_ms",
            )
            .bind(&namespace)
            .bind(now_ms())
            .execute(&mut tx)
            .await?;
            let held = if attempts > 0 {
                held.step(&mut tx, DeploymentState::Queued, |record| record.deployment.stages.clear()).await?
            } else {
                held
            };
            tx.commit().await?;
            let record = held.into_record();
            let namespace = namespace.parse().map_err(|_| Error::Malformed {
                what: "namespace",
                text: record.deployment.namespace.clone(),
            })?;
            let recompile = recompile
                .map(|text| text.parse().map_err(|_| Error::Malformed { what: "digest", text }))
                .transpose()?;
            let worker = worker.to_owned();
            return Ok(Some(BuildJob {
                id,
                deployment,
                namespace,
                request: record.request,
                recompile,
                attempt,
                worker,
            }));
        }
    }

    /// Renews the lease. False: the job is somebody else's or gone (killed, superseded), so stop working on it.
    pub async fn heartbeat(&self, job: &BuildJob, lease_ms: i64) -> Result<bool, Error> {
        let mut tx = self.begin_unlocked().await?;
        let beat = query(
            "jobs.heartbeat",
            "UPDATE jobs SET lease_until_ms = $4 WHERE id = $1 AND worker = $2 AND attempt = $3",
        );
        let beat = beat.bind(&job.id).bind(&job.worker).bind(job.attempt);
        let changed = beat.bind(now_ms().saturating_add(lease_ms)).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Whether the job is still its worker's: false soon after it was killed, superseded or its namespace blocked.
    pub async fn holds_job(&self, job: &BuildJob) -> Result<bool, Error> {
        let holds = query("jobs.holds", "SELECT id FROM jobs WHERE id = $1 AND worker = $2 AND attempt = $3");
        let holds = holds.bind(&job.id).bind(&job.worker).bind(job.attempt);
        Ok(holds.read_first::<(String,)>(self).await?.is_some())
    }

    /// Gives a job back unfinished, for a builder that is told to stop: the next claim is not counted against it.
    pub async fn release_job(&self, job: &BuildJob) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        let release = query(
            "jobs.release",
            "UPDATE jobs SET worker = NULL, lease_until_ms = 0, attempt = attempt - 1
             WHERE id = $1 AND worker = $2 AND attempt = $3",
        );
        release.bind(&job.id).bind(&job.worker).bind(job.attempt).execute(&mut tx).await?;
        tx.commit().await
    }

    /// Reports a stage that began or ended. `state` is where the deployment is now; it never moves back. A second
    /// report of the same stage replaces the first.
    pub async fn stage(
        &self,
        job: &BuildJob,
        state: DeploymentState,
        report: StageReport,
    ) -> Result<(), Error> {
        let (mut tx, held) = self.held_by(job).await?;
        // Only complete, fail, kill and supersede end a build: they take its job along.
        if !is_building(state) {
            let record = &held.record().deployment;
            return Err(Error::Illegal { deployment: record.id.clone(), from: record.state, to: state });
        }
        held.step(&mut tx, state, |record| note_stage(&mut record.deployment.stages, report)).await?;
        tx.commit().await
    }

    /// Notes what the source turned out to be: the name and version of its `micro.toml`, and the commit.
    ///
    /// Fails with [`Error::AlreadyRunning`] when that name and version runs and `run` was asked for, with
    /// [`Error::NotRunning`] or [`Error::InError`] when it doesn't and `update` was asked for, and with
    /// [`Error::Limit`] when the plan allows no more services: hand `error.to_api(…)` to [`Db::fail`].
    pub async fn resolved(
        &self,
        job: &BuildJob,
        service: &ServiceName,
        version: &str,
        commit: Option<&str>,
    ) -> Result<(), Error> {
        let (mut tx, held) = self.held_by(job).await?;
        let old = VersionKey::of(held.record());
        let new = VersionKey {
            namespace: old.namespace.clone(),
            service: service.to_string(),
            version: version.to_owned(),
        };
        if new != old {
            let quotas = quotas_of(&mut tx, &job.id).await?;
            rename(&mut tx, &held, &old, &new, &quotas).await?;
        }
        let state = held.state();
        held.step(&mut tx, state, |record| {
            record.deployment.service = new.service;
            record.deployment.version = new.version;
            record.deployment.commit = commit.map(str::to_owned);
        })
        .await?;
        tx.commit().await
    }

    /// The build is published as `revision`: the deployment is `built`, the job is done.
    pub async fn complete(&self, job: &BuildJob, revision: &Digest) -> Result<(), Error> {
        let (mut tx, held) = self.held_by(job).await?;
        let held = held
            .step(&mut tx, DeploymentState::Built, |record| {
                record.deployment.revision = Some(revision.to_string())
            })
            .await?;
        crate::revisions::insert(&mut tx, held.record(), revision).await?;
        remove(&mut tx, &job.deployment).await?;
        tx.commit().await
    }

    /// The build failed in `stage`: the deployment is `failed`, the job is done.
    pub async fn fail(&self, job: &BuildJob, stage: Stage, error: micro_api::Error) -> Result<(), Error> {
        let (mut tx, held) = self.held_by(job).await?;
        held.step(&mut tx, DeploymentState::Failed, |record| {
            close_stage(&mut record.deployment.stages, stage);
            record.deployment.error = Some(error);
        })
        .await?;
        remove(&mut tx, &job.deployment).await?;
        tx.commit().await
    }

    /// A transaction in which `job` is still its worker's, and its deployment.
    pub(crate) async fn held_by(&self, job: &BuildJob) -> Result<(Tx, Held), Error> {
        let mut tx = self.begin(job.namespace.as_str()).await?;
        let guard =
            query("jobs.guard", "SELECT deployment FROM jobs WHERE id = $1 AND worker = $2 AND attempt = $3");
        let guard = guard.bind(&job.id).bind(&job.worker).bind(job.attempt);
        let (deployment,) = guard.first::<(String,)>(&mut tx).await?.ok_or(Error::LeaseLost)?;
        let held = Held::load(&mut tx, &deployment).await?;
        Ok((tx, held))
    }
}

/// Adds a job for `deployment`, to build its source or to compile the component of a revision again.
pub(crate) async fn insert(
    tx: &mut Tx,
    namespace: &str,
    deployment: &str,
    recompile: Option<String>,
    quotas: &Quotas,
) -> Result<(), Error> {
    query(
        "jobs.insert",
        "INSERT INTO jobs (id, deployment, namespace, worker, lease_until_ms, attempt, created_ms, recompile, quotas)
         VALUES ($1, $2, $3, NULL, 0, 0, $4, $5, $6)",
    )
    .bind(uuid::Uuid::now_v7().to_string())
    .bind(deployment)
    .bind(namespace)
    .bind(now_ms())
    .bind(recompile)
    .bind(encode("quotas", quotas)?)
    .execute(tx)
    .await
    .map(drop)
}

/// Takes the job from whoever holds it, and counts the time that it had a builder.
pub(crate) async fn remove(tx: &mut Tx, deployment: &str) -> Result<(), Error> {
    let worked = query(
        "jobs.worked",
        "SELECT j.namespace, d.service, j.claimed_ms, j.lease_until_ms FROM jobs j
         JOIN deployments d ON d.id = j.deployment
         WHERE j.deployment = $1 AND j.worker IS NOT NULL AND j.recompile IS NULL",
    );
    let worked = worked.bind(deployment).first::<(String, String, i64, i64)>(tx).await?;
    if let Some((namespace, service, claimed_ms, lease_until_ms)) = worked {
        let ended_ms = now_ms().min(lease_until_ms);
        usage::add_build(tx, &namespace, &service, claimed_ms, ended_ms).await?;
    }
    query("jobs.remove", "DELETE FROM jobs WHERE deployment = $1")
        .bind(deployment)
        .execute(tx)
        .await
        .map(drop)
}

/// Jobs that wait or are being worked on: of all, and of `namespace`.
pub(crate) async fn count(tx: &mut Tx, namespace: &Namespace) -> Result<(i64, i64), Error> {
    let count = query("jobs.count", "SELECT COUNT(*), COUNT(CASE WHEN namespace = $1 THEN 1 END) FROM jobs");
    Ok(count.bind(namespace).first::<(i64, i64)>(tx).await?.unwrap_or_default())
}

async fn give_up(tx: &mut Tx, held: Held, job: &str) -> Result<(), Error> {
    if is_building(held.state()) {
        let detail = format!("the builder ended {ATTEMPTS_MAX} times while it worked on this source");
        held.step(tx, DeploymentState::Failed, |record| {
            record.deployment.error = Some(micro_api::Error::internal("builder", detail));
        })
        .await?;
    }
    query("jobs.give_up", "DELETE FROM jobs WHERE id = $1").bind(job).execute(tx).await.map(drop)
}

/// Fails a deployment that may not be built, and takes its job away.
async fn refuse(tx: &mut Tx, held: Held, error: Error) -> Result<(), Error> {
    let error = match error {
        Error::Limit { .. } => error.to_api("builder"),
        other => return Err(other),
    };
    let deployment = held.record().deployment.id.clone();
    held.step(tx, DeploymentState::Failed, |record| record.deployment.error = Some(error)).await?;
    query("jobs.refuse", "DELETE FROM jobs WHERE deployment = $1")
        .bind(&deployment)
        .execute(tx)
        .await
        .map(drop)
}

/// What the plan allowed when the job was asked for.
async fn quotas_of(tx: &mut Tx, job: &str) -> Result<Quotas, Error> {
    let row = query("jobs.quotas", "SELECT quotas FROM jobs WHERE id = $1").bind(job);
    let row = row.first::<(String,)>(tx).await?;
    row.map_or_else(|| Ok(Quotas::default()), |(text,)| decode("quotas", &text))
}

/// Moves a deployment's claim on a name to the name its source has.
async fn rename(
    tx: &mut Tx,
    held: &Held,
    old: &VersionKey,
    new: &VersionKey,
    quotas: &Quotas,
) -> Result<(), Error> {
    let record = held.record();
    let id = &record.deployment.id;
    let taken = new.find(tx).await?;
    match record.action {
        Action::Run => crate::submit::check_free(tx, taken.as_ref()).await?,
        Action::Update => crate::submit::check_runs(tx, new, taken.as_ref()).await?,
    }
    if let Some(version) = old.find(tx).await?
        && version.deployment == *id
    {
        match version.active {
            Some(active) => old.set_deployment(tx, &active).await?,
            None => old.remove(tx).await?,
        }
    }
    if let Some(taken) = taken {
        crate::submit::supersede(tx, &taken.deployment, id).await?;
    }
    quota::check_service(tx, new, quotas).await?;
    new.claim(tx, id, &record.request.name.to_string()).await
}

fn note_stage(stages: &mut Vec<StageReport>, report: StageReport) {
    match stages.iter_mut().find(|known| known.stage == report.stage) {
        Some(known) => *known = report,
        None => stages.push(report),
    }
}

/// Ends a stage that was under way when it failed.
pub(crate) fn close_stage(stages: &mut Vec<StageReport>, stage: Stage) {
    let now = now_ms();
    match stages.iter_mut().find(|known| known.stage == stage) {
        Some(known) => {
            known.duration_ms = known.duration_ms.or_else(|| Some((now - known.started_ms).max(0)))
        }
        None => stages.push(StageReport { stage, started_ms: now, duration_ms: Some(0), cached: false }),
    }
}
