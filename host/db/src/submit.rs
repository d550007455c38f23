//! `run`, `update` and `kill`: what a person's wish does to the rows, each in one transaction.

use micro_api::Namespace;
use micro_api::deployment::{Deployment, DeploymentState, RunRequest, Source};

use crate::dialect::Tx;
use crate::query::query;
use crate::row::encode;
use crate::services::{VersionKey, VersionRow};
use crate::state::{Held, is_building};
use crate::{Db, Error, Quotas, jobs, now_ms, quota, rules};

/// Jobs that may wait at once.
pub const JOBS_MAX: i64 = 1_000;
/// Those of one namespace: it cannot fill the queue for the others.
pub const JOBS_OF_NAMESPACE_MAX: i64 = JOBS_MAX / 2;

/// How a deployment was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Only when the version does not run.
    Run,
    /// Only when it does.
    Update,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Update => "update",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "run" => Ok(Self::Run),
            "update" => Ok(Self::Update),
            _ => Err(Error::Malformed { what: "action", text: text.to_owned() }),
        }
    }
}

impl Db {
    /// Notes a wish, as [`Db::submit_within`] does, of a namespace whose plan has no limits.
    pub async fn submit(
        &self,
        namespace: &Namespace,
        action: Action,
        request: &RunRequest,
    ) -> Result<Deployment, Error> {
        self.submit_within(namespace, action, request, &Quotas::default()).await
    }

    /// Notes a wish: a deployment in state `queued` and its job.
    ///
    /// Fails with [`Error::Limit`] when the plan allows no more services, or no more minutes of builders this month.
    /// [`Action::Run`] fails with [`Error::AlreadyRunning`] while the version runs or is being brought up.
    /// [`Action::Update`] fails with [`Error::NotRunning`] or [`Error::InError`] while it doesn't; an update that is
    /// still under way is superseded, so the last one wins.
    pub async fn submit_within(
        &self,
        namespace: &Namespace,
        action: Action,
        request: &RunRequest,
        quotas: &Quotas,
    ) -> Result<Deployment, Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        quota::check_blocked(&mut tx, namespace.as_str()).await?;
        quota::check_build(&mut tx, namespace.as_str(), quotas).await?;
        let (all, own) = jobs::count(&mut tx, namespace).await?;
        if all >= JOBS_MAX || own >= JOBS_OF_NAMESPACE_MAX {
            return Err(Error::QueueFull(if all >= JOBS_MAX { all } else { own }));
        }
        if let Source::Upload { upload, .. } = &request.source {
            crate::uploads::take(&mut tx, namespace, upload).await?;
        }
        let asked = request.name.to_string();
        let mut key = VersionKey {
            namespace: namespace.to_string(),
            service: asked.clone(),
            version: request.version.clone(),
        };
        let mut taken = key.find(&mut tx).await?;
        if taken.is_none() && !request.name_forced {
            // Its micro.toml may have given it another name than its source suggests.
            taken = key.find_suggested(&mut tx).await?;
        }
        match action {
            Action::Run => check_free(&mut tx, taken.as_ref()).await?,
            Action::Update => check_runs(&mut tx, &key, taken.as_ref()).await?,
        }
        let id = uuid::Uuid::now_v7().to_string();
        if let Some(taken) = taken {
            key.service.clone_from(&taken.service);
            supersede(&mut tx, &taken.deployment, &id).await?;
        }
        quota::check_service(&mut tx, &key, quotas).await?;
        insert(&mut tx, &id, &key, action, request).await?;
        key.claim(&mut tx, &id, &asked).await?;
        jobs::insert(&mut tx, namespace.as_str(), &id, None, quotas).await?;
        let record = Held::load(&mut tx, &id).await?.into_record();
        tx.commit().await?;
        Ok(record.deployment)
    }

    /// Takes a version away: its row goes at once, what runs becomes `stopping`, what is being brought up `stopped`.
    /// Returns the deployment that served, else the newest attempt.
    pub async fn kill(
        &self,
        namespace: &Namespace,
        service: &str,
        version: &str,
    ) -> Result<Deployment, Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let mut key = VersionKey {
            namespace: namespace.to_string(),
            service: service.to_owned(),
            version: version.to_owned(),
        };
        let mut row = key.find(&mut tx).await?;
        if row.is_none() {
            row = key.find_suggested(&mut tx).await?;
        }
        let row = row
            .ok_or_else(|| Error::NotRunning { service: service.to_owned(), version: version.to_owned() })?;
        key.service.clone_from(&row.service);
        key.remove(&mut tx).await?;
        let mut killed = stop(&mut tx, &row.deployment).await?;
        if let Some(active) = row.active.filter(|active| *active != row.deployment) {
            killed = stop(&mut tx, &active).await?;
        }
        if !key.has_other_versions(&mut tx).await? {
            rules::follow_public(&mut tx, namespace.as_str(), &key.service, false).await?;
        }
        tx.commit().await?;
        Ok(killed)
    }
}

/// `run` needs a version that is not there, or whose newest attempt ended.
pub(crate) async fn check_free(tx: &mut Tx, version: Option<&VersionRow>) -> Result<(), Error> {
    let Some(version) = version else { return Ok(()) };
    let latest = Held::load(tx, &version.deployment).await?.state();
    let ended =
        matches!(latest, DeploymentState::Failed | DeploymentState::Stopped | DeploymentState::Superseded);
    if ended && version.active.is_none() { Ok(()) } else { Err(Error::AlreadyRunning) }
}

/// `update` needs a version that serves or is being brought up.
pub(crate) async fn check_runs(
    tx: &mut Tx,
    key: &VersionKey,
    version: Option<&VersionRow>,
) -> Result<(), Error> {
    let (service, label) = (key.service.clone(), key.version.clone());
    let Some(version) = version else { return Err(Error::NotRunning { service, version: label }) };
    if version.active.is_some() {
        return Ok(());
    }
    match Held::load(tx, &version.deployment).await?.state() {
        DeploymentState::Failed => Err(Error::InError { service: version.service.clone(), version: label }),
        DeploymentState::Stopped | DeploymentState::Superseded => {
            Err(Error::NotRunning { service, version: label })
        }
        _ => Ok(()),
    }
}

/// Ends an attempt that is not serving yet, because `successor` was asked for.
pub(crate) async fn supersede(tx: &mut Tx, deployment: &str, successor: &str) -> Result<(), Error> {
    let held = Held::load(tx, deployment).await?;
    if is_building(held.state()) || matches!(held.state(), DeploymentState::Built | DeploymentState::Starting)
    {
        jobs::remove(tx, deployment).await?;
        held.step(tx, DeploymentState::Superseded, |record| record.successor = Some(successor.to_owned()))
            .await?;
    }
    Ok(())
}

/// Ends an attempt, or what serves.
pub(crate) async fn stop(tx: &mut Tx, deployment: &str) -> Result<Deployment, Error> {
    let held = Held::load(tx, deployment).await?;
    let to = match held.state() {
        DeploymentState::Running => DeploymentState::Stopping,
        state if is_building(state) => DeploymentState::Stopped,
        DeploymentState::Built | DeploymentState::Starting => DeploymentState::Stopped,
        _ => return Ok(held.into_record().deployment),
    };
    jobs::remove(tx, deployment).await?;
    Ok(held.step(tx, to, |_| ()).await?.into_record().deployment)
}

/// Adds a deployment in state `queued`.
pub(crate) async fn insert(
    tx: &mut Tx,
    id: &str,
    key: &VersionKey,
    action: Action,
    request: &RunRequest,
) -> Result<(), Error> {
    let now = now_ms();
    query(
        "deployments.insert",
        "INSERT INTO deployments (id, namespace, service, version, action, request, state, stages, error, commit_id,
           revision, successor, starts, job, log_bytes, created_ms, started_ms, updated_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, '[]', NULL, NULL, NULL, NULL, 0, 0, 0, $8, 0, $8)",
    )
    .bind(id)
    .bind(&key.namespace)
    .bind(&key.service)
    .bind(&key.version)
    .bind(action.as_str())
    .bind(encode("request", request)?)
    .bind(DeploymentState::Queued)
    .bind(now)
    .execute(tx)
    .await
    .map(drop)
}
