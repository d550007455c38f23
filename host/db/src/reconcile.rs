//! What the reconciler reads and writes: from `built` to `running`, from `stopping` to the end.
//!
//! Every function can be repeated. After a crash the rows say what is left to do.

use micro_api::deployment::{Deployment, DeploymentState, Stage, StageReport};

use crate::dialect::Tx;
use crate::query::query;
use crate::row::{DeploymentRow, Record, select_deployment};
use crate::services::VersionKey;
use crate::state::Held;
use crate::{Db, Error, Quotas, jobs, now_ms, submit};

/// Deployments handled in one round; the next round takes the rest.
const ROUND_MAX: i64 = 256;
/// Running jobs that one node looks at: more than it could run.
const JOBS_MAX: i64 = 4_096;

/// What waits for the reconciler.
#[derive(Debug, Default)]
pub struct Work {
    /// `built` and `starting`: bring up.
    pub start: Vec<Record>,
    /// Jobs that run.
    pub jobs: Vec<Record>,
    /// `stopping`: drain.
    pub stop: Vec<Record>,
}

/// A deployment that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Whose it is.
    pub namespace: String,
    /// Short name.
    pub service: String,
    /// `latest` or the ref.
    pub version: String,
    /// Digest of its signed manifest.
    pub revision: String,
    /// The deployment that made it active.
    pub deployment: String,
    /// It runs to its end and answers no calls.
    pub job: bool,
    /// When it was started, Unix milliseconds.
    pub started_ms: i64,
    /// When its deployment last changed, Unix milliseconds.
    pub updated_ms: i64,
}

impl Db {
    /// What waits for the reconciler of `node`, oldest first: what is its own, nobody's, or a dead node's. What it begins
    /// it has to [`Db::take`] first.
    pub async fn work(&self, node: &str) -> Result<Work, Error> {
        let now = self.clock_ms().await?;
        let waiting = query(
            "deployments.work",
            select_deployment!(
                "WHERE d.state IN ('built', 'starting', 'stopping') AND (d.node IS NULL OR d.node = $1
                   OR NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = d.node AND n.lease_until_ms > $2))
                 ORDER BY d.created_ms, d.id LIMIT $3"
            ),
        );
        let jobs = query(
            "deployments.jobs",
            select_deployment!(
                "WHERE d.job = 1 AND d.state = 'running' AND (d.node IS NULL OR d.node = $1
                   OR NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = d.node AND n.lease_until_ms > $2))
                 ORDER BY d.created_ms, d.id LIMIT $3"
            ),
        );
        let mut work = Work::default();
        for (rows, limit) in [(waiting, ROUND_MAX), (jobs, JOBS_MAX)] {
            for row in rows.bind(node).bind(now).bind(limit).read_all::<DeploymentRow>(self).await? {
                let record = Record::try_from(row)?;
                match record.deployment.state {
                    DeploymentState::Stopping => work.stop.push(record),
                    DeploymentState::Running => work.jobs.push(record),
                    _ => work.start.push(record),
                }
            }
        }
        Ok(work)
    }

    /// Changes with what serves, by whichever process.
    pub async fn routes_revision(&self) -> Result<i64, Error> {
        let row = query("counters.routes_revision", "SELECT value FROM counters WHERE name = 'routes'");
        Ok(row.read_first::<(i64,)>(self).await?.map_or(0, |(value,)| value))
    }

    /// All that serves, of all namespaces, in a fixed order.
    pub async fn active(&self) -> Result<Vec<Active>, Error> {
        let rows = query(
            "versions.active",
            "SELECT d.namespace, d.service, d.version, d.revision, d.id, d.job, d.started_ms, d.updated_ms
             FROM versions v JOIN deployments d ON d.id = v.active
             WHERE d.state = 'running' ORDER BY d.namespace, d.service, d.version",
        );
        let rows =
            rows.read_all::<(String, String, String, Option<String>, String, i64, i64, i64)>(self).await?;
        let active = rows.into_iter().filter_map(
            |(namespace, service, version, revision, deployment, job, started_ms, updated_ms)| {
                Some(Active {
                    namespace,
                    service,
                    version,
                    revision: revision?,
                    deployment,
                    job: job != 0,
                    started_ms,
                    updated_ms,
                })
            },
        );
        Ok(active.collect())
    }

    /// Whether anything is under way, so that those who poll do it often.
    pub async fn is_busy(&self) -> Result<bool, Error> {
        let busy = query(
            "deployments.busy",
            "SELECT COUNT(*) FROM (SELECT id FROM deployments WHERE state IN
             ('queued', 'fetching', 'building', 'validating', 'precompiling', 'built', 'starting', 'stopping') LIMIT 1) b",
        );
        Ok(busy.read_first::<(i64,)>(self).await?.is_some_and(|(count,)| count > 0))
    }

    /// `built` → `starting`, or `starting` once more. Counts the attempt and opens the start stage.
    pub async fn starting(&self, record: &Record) -> Result<Record, Error> {
        let (mut tx, held) = self.held(record).await?;
        let held = held
            .step(&mut tx, DeploymentState::Starting, |record| {
                let now = now_ms();
                record.starts += 1;
                record.started_ms = now;
                let stages = &mut record.deployment.stages;
                stages.retain(|report| report.stage != Stage::Start);
                stages.push(StageReport {
                    stage: Stage::Start,
                    started_ms: now,
                    duration_ms: None,
                    cached: false,
                });
            })
            .await?;
        tx.commit().await?;
        Ok(held.into_record())
    }

    /// `starting` → `running`: it serves from now on, and what served before is `stopping`. Fails with
    /// [`Error::Illegal`] when it was killed or superseded meanwhile.
    pub async fn running(&self, record: &Record, job: bool) -> Result<Record, Error> {
        let (mut tx, held) = self.held(record).await?;
        let held = held
            .step(&mut tx, DeploymentState::Running, |record| {
                record.job = job;
                jobs::close_stage(&mut record.deployment.stages, Stage::Start);
            })
            .await?;
        let id = held.record().deployment.id.clone();
        let key = VersionKey::of(held.record());
        let before = key.find(&mut tx).await?.and_then(|version| version.active);
        key.set_active(&mut tx, Some(&id)).await?;
        if let Some(before) = before.filter(|before| *before != id) {
            retire(&mut tx, &before, &id).await?;
        }
        tx.commit().await?;
        Ok(held.into_record())
    }

    /// `stopping` → `stopped`, or `superseded` when a newer deployment took its place.
    pub async fn stopped(&self, record: &Record) -> Result<(), Error> {
        let (mut tx, held) = self.held(record).await?;
        let to = match held.record().successor {
            Some(_) => DeploymentState::Superseded,
            None => DeploymentState::Stopped,
        };
        let held = held.only_from(&[DeploymentState::Stopping], to)?;
        held.step(&mut tx, to, |_| ()).await?;
        tx.commit().await
    }

    /// It could not be brought up, or it is a job that failed for good: `failed`, and it serves no more.
    pub async fn failed(&self, record: &Record, error: micro_api::Error) -> Result<(), Error> {
        let (mut tx, held) = self.held(record).await?;
        let from = [DeploymentState::Built, DeploymentState::Starting, DeploymentState::Running];
        let held = held
            .only_from(&from, DeploymentState::Failed)?
            .step(&mut tx, DeploymentState::Failed, |record| {
                if record.deployment.stages.iter().any(|report| report.stage == Stage::Start) {
                    jobs::close_stage(&mut record.deployment.stages, Stage::Start);
                }
                record.deployment.error = Some(error);
            })
            .await?;
        deactivate(&mut tx, &held).await?;
        tx.commit().await
    }

    /// A job ended well: `stopped`.
    pub async fn finished(&self, record: &Record) -> Result<(), Error> {
        let (mut tx, held) = self.held(record).await?;
        let held = held.only_from(&[DeploymentState::Running], DeploymentState::Stopped)?;
        let held = held.step(&mut tx, DeploymentState::Stopped, |_| ()).await?;
        deactivate(&mut tx, &held).await?;
        tx.commit().await
    }

    /// Counts a restart of a job that failed. Fails when the job does not run any more.
    pub async fn count_restart(&self, record: &Record) -> Result<(), Error> {
        let mut tx = self.begin(&record.deployment.namespace).await?;
        let id = record.deployment.id.clone();
        let count = query(
            "deployments.count_restart",
            "UPDATE deployments SET starts = starts + 1
             WHERE id = $1 AND state = 'running' AND COALESCE(node, '') = COALESCE($2, '')",
        );
        if count.bind(&id).bind(record.node.clone()).execute(&mut tx).await? == 0 {
            let from = Held::load(&mut tx, &id).await?.state();
            return Err(Error::Illegal { deployment: id, from, to: DeploymentState::Running });
        }
        tx.commit().await
    }

    /// The code of `record`'s revision was made for another engine than the node's: a new deployment takes its place,
    /// whose job only compiles the revision's component again. What ran is `stopping`, what was about to is
    /// `superseded`.
    ///
    /// `None`: a newer attempt is under way, which brings code of its own; nothing was changed.
    pub async fn recompile(&self, record: &Record) -> Result<Option<Deployment>, Error> {
        let (mut tx, held) = self.held(record).await?;
        let from = [DeploymentState::Built, DeploymentState::Starting, DeploymentState::Running];
        let held = held.only_from(&from, DeploymentState::Superseded)?;
        let old = held.record().clone();
        let id = &old.deployment.id;
        let key = VersionKey::of(&old);
        let version = key.find(&mut tx).await?.ok_or(Error::NoDeployment)?;
        if version.deployment != *id {
            let newest = Held::load(&mut tx, &version.deployment).await?.state();
            if !newest.is_settled() {
                return Ok(None);
            }
        }
        let new = uuid::Uuid::now_v7().to_string();
        submit::insert(&mut tx, &new, &key, old.action, &old.request).await?;
        // The source is not looked at again, so what was learnt of it is passed on.
        let commit = query("deployments.set_commit", "UPDATE deployments SET commit_id = $2 WHERE id = $1");
        commit.bind(&new).bind(old.deployment.commit.clone()).execute(&mut tx).await?;
        let to = match held.state() {
            DeploymentState::Running => DeploymentState::Stopping,
            _ => DeploymentState::Superseded,
        };
        held.step(&mut tx, to, |record| record.successor = Some(new.clone())).await?;
        key.set_deployment(&mut tx, &new).await?;
        if version.active.as_ref() == Some(id) {
            key.set_active(&mut tx, None).await?;
        }
        let unlimited = Quotas::default();
        jobs::insert(&mut tx, &key.namespace, &new, old.deployment.revision.clone(), &unlimited).await?;
        let made = Held::load(&mut tx, &new).await?.into_record();
        tx.commit().await?;
        Ok(Some(made.deployment))
    }

    /// The deployment, for a step of the node that has it: refused where another took it since `record` was read.
    async fn held(&self, record: &Record) -> Result<(Tx, Held), Error> {
        let mut tx = self.begin(&record.deployment.namespace).await?;
        let held = Held::load(&mut tx, &record.deployment.id).await?;
        if held.record().node != record.node {
            return Err(Error::Elsewhere { deployment: record.deployment.id.clone() });
        }
        Ok((tx, held))
    }
}

/// What served before `successor`.
async fn retire(tx: &mut Tx, deployment: &str, successor: &str) -> Result<(), Error> {
    let held = Held::load(tx, deployment).await?;
    if held.state() == DeploymentState::Running {
        held.step(tx, DeploymentState::Stopping, |record| record.successor = Some(successor.to_owned()))
            .await?;
    }
    Ok(())
}

async fn deactivate(tx: &mut Tx, held: &Held) -> Result<(), Error> {
    let key = VersionKey::of(held.record());
    if let Some(version) = key.find(tx).await?
        && version.active.as_ref() == Some(&held.record().deployment.id)
    {
        key.set_active(tx, None).await?;
    }
    Ok(())
}
