//! One code path from `built` to `running` and from `stopping` to the end.
//!
//! It takes no input: woken by a change or by time, it reads the rows, and starts one task for each deployment that has
//! none. A step that was cut short by a crash is found in the rows and done again; each step can be.
//!
//! Of several nodes one does it: it takes the deployment first, and has it for as long as its lease lasts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use micro_api::deployment::DeploymentState;
use micro_artifact::Digest;
use micro_db::deployments::Record;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::routes::{SwitchError, revision_of};
use super::{job, lost};
use crate::error::chain;
use crate::{ActiveRevision, Control};

/// Revisions loaded and warmed at once.
const STARTS_AT_ONCE: usize = 4;
/// Pause after the database refused.
const RETRY: Duration = Duration::from_secs(1);
/// How often it looks for what a dead node had.
const EVERY: Duration = Duration::from_secs(3);

/// What is under way, by deployment.
struct Tasks {
    set: JoinSet<()>,
    starting: HashMap<String, AbortHandle>,
    jobs: HashMap<String, AbortHandle>,
    stopping: HashMap<String, AbortHandle>,
    starts: Arc<Semaphore>,
}

/// Reconciles until `stop`. Tasks that are under way then are dropped: the next process finds their rows.
pub(crate) async fn run(control: Arc<Control>, stop: CancellationToken) {
    let mut changes = control.changes();
    let mut lease = control.lease.watch();
    let mut tasks = Tasks {
        set: JoinSet::new(),
        starting: HashMap::new(),
        jobs: HashMap::new(),
        stopping: HashMap::new(),
        starts: Arc::new(Semaphore::new(STARTS_AT_ONCE)),
    };
    while !stop.is_cancelled() {
        changes.mark_unchanged();
        lease.mark_unchanged();
        if let Err(error) = round(&control, &mut tasks).await {
            tracing::warn!(error = chain(&error), "The reconciler cannot read its rows");
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(RETRY) => {}
            }
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
            // The senders live in `control`, so these end only with a change.
            _ = changes.changed() => {}
            _ = lease.changed() => {}
            Some(ended) = tasks.set.join_next_with_id(), if !tasks.set.is_empty() => tasks.forget(ended),
        }
    }
    tasks.set.shutdown().await;
}

impl Tasks {
    /// A task that ended, or panicked: its deployment is free to be taken up again.
    fn forget(&mut self, ended: Result<(tokio::task::Id, ()), tokio::task::JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!("A task of the reconciler panicked");
                }
                error.id()
            }
        };
        for tasks in [&mut self.starting, &mut self.jobs, &mut self.stopping] {
            tasks.retain(|_, handle| handle.id() != id);
        }
    }
}

/// Reads the rows once and starts what is missing.
async fn round(control: &Arc<Control>, tasks: &mut Tasks) -> Result<(), micro_db::Error> {
    if !control.is_resumed() {
        // Rules before routes: whoever finds a service is held to them.
        control.follow_access().await?;
        if let Err(error) = control.follow_registry().await {
            tracing::warn!(%error, "Services elsewhere cannot be read yet");
        }
        resume(control).await?;
        control.mark_resumed();
    }
    // Before the rows are read: what this node has to stop is among them by then.
    let departed = std::mem::take(&mut *control.departed.lock());
    let work = control.db.work(&control.config.node_id).await;
    let work = work.inspect_err(|_| control.departed.lock().extend(departed.iter().cloned()))?;
    // What another node stops is let go of here too: at once, for whatever fails below is tried again without it.
    for revision in departed {
        let is_here = |record: &Record| record.deployment.id == revision.deployment;
        if !tasks.stopping.contains_key(&revision.deployment) && !work.stop.iter().any(is_here) {
            let of = Arc::clone(control);
            tasks.set.spawn(async move { drain(&of, &revision).await });
        }
    }
    control.busy.store(control.db.is_busy().await?, Ordering::Relaxed);
    take_up(control, tasks, work.start, work.jobs).await?;
    let stopping: Vec<_> =
        work.stop.into_iter().filter(|record| !tasks.stopping.contains_key(&record.deployment.id)).collect();
    unroute(control, &stopping).await?;
    for record in stopping {
        let id = record.deployment.id.clone();
        for task in [tasks.starting.get(&id), tasks.jobs.get(&id)].into_iter().flatten() {
            task.abort();
        }
        let handle = tasks.set.spawn(finish(Arc::clone(control), record));
        tasks.stopping.insert(id, handle);
    }
    Ok(())
}

/// Makes what waits, and the jobs that ran on a node which is gone, this node's, and begins it. Without a lease nothing
/// can be.
async fn take_up(
    control: &Arc<Control>,
    tasks: &mut Tasks,
    waiting: Vec<Record>,
    jobs: Vec<Record>,
) -> Result<(), micro_db::Error> {
    let Some(lease) = control.lease.number() else { return Ok(()) };
    for record in waiting.into_iter().chain(jobs) {
        let id = record.deployment.id.clone();
        // A job that was just started here is one of `starting`.
        if tasks.starting.contains_key(&id) || tasks.jobs.contains_key(&id) {
            continue;
        }
        let Some(record) = control.db.take(&record, &control.config.node_id).await? else { continue };
        let of = Arc::clone(control);
        if record.deployment.state == DeploymentState::Running {
            let task = async move {
                of.lease.hold(lease, job::resume(&of, record)).await;
            };
            tasks.jobs.insert(id, tasks.set.spawn(task));
        } else {
            let starts = Arc::clone(&tasks.starts);
            let revision = revision_of(&record);
            let task = async move {
                if !of.lease.hold(lease, start(&of, record, starts)).await
                    && let Some(revision) = revision
                {
                    let_go(&of, &revision).await;
                }
            };
            tasks.starting.insert(id, tasks.set.spawn(task));
        }
    }
    Ok(())
}

/// What was cut short while it was brought up: routes are what the rows say, and what is not routed is let go of.
async fn let_go(control: &Control, revision: &ActiveRevision) {
    if let Err(error) = control.route().await {
        tracing::warn!(error = chain(&error), "What serves cannot be read");
    }
    let is_routed = control.routed.lock().await.contains_key(&revision.deployment);
    if !is_routed {
        drain(control, revision).await;
    }
}

/// After a start of this process: routes what is active.
async fn resume(control: &Control) -> Result<(), micro_db::Error> {
    recompile(control).await?;
    let unservable = control.route().await?;
    for one in &unservable {
        tracing::error!(deployment = one.deployment, error = %one.error, "A service cannot be loaded any more");
    }
    lost::judge(control, unservable, true).await
}

/// What was compiled for an engine that this node has no more goes to a builder before anything is routed or started:
/// the platform was updated. Only at a start of the process, so that a builder of another version cannot make this go
/// round in circles.
async fn recompile(control: &Control) -> Result<(), micro_db::Error> {
    if control.config.engines.is_empty() {
        return Ok(());
    }
    let mut wanted: Vec<(String, Digest)> = Vec::new();
    for row in control.db.active().await? {
        wanted.extend(row.revision.parse().ok().map(|digest| (row.deployment, digest)));
    }
    for record in control.db.work(&control.config.node_id).await?.start {
        wanted.extend(revision_of(&record).map(|revision| (revision.deployment, revision.revision)));
    }
    for deployment in foreign(control, wanted).await {
        let Some(record) = control.db.deployment_by_id(&deployment).await? else { continue };
        match control.db.recompile(&record).await {
            Ok(Some(new)) => {
                let service = new.service;
                tracing::info!(service, deployment = new.id, "Compiling for this version of the platform");
                control.poke_builder();
            }
            // What is under way brings code of its own.
            Ok(None) => {}
            Err(
                error @ (micro_db::Error::Illegal { .. }
                | micro_db::Error::Elsewhere { .. }
                | micro_db::Error::NoDeployment),
            ) => {
                tracing::debug!(error = chain(&error), "A deployment moved on meanwhile");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The deployments whose revision is for another engine. What cannot be read is none of them: routing tells.
async fn foreign(control: &Control, wanted: Vec<(String, Digest)>) -> Vec<String> {
    let (store, key) = (control.config.artifacts.clone(), control.config.key.clone());
    let engines: HashSet<String> = control.config.engines.iter().cloned().collect();
    let read = tokio::task::spawn_blocking(move || {
        let is_foreign = |revision: &Digest| {
            micro_artifact::read_manifest(&store, &key, revision)
                .is_ok_and(|manifest| !engines.contains(&manifest.engine))
        };
        wanted.into_iter().filter(|(_, revision)| is_foreign(revision)).map(|(id, _)| id).collect()
    });
    // It fails only when the process is ending.
    read.await.unwrap_or_default()
}

/// Takes the routes away from what stops, before it is drained.
async fn unroute(control: &Control, stopping: &[Record]) -> Result<(), micro_db::Error> {
    let routed = {
        let routed = control.routed.lock().await;
        stopping.iter().any(|record| routed.contains_key(&record.deployment.id))
    };
    if routed {
        control.route().await?;
    }
    Ok(())
}

/// `built` or `starting` → `running` or `failed`.
async fn start(control: &Control, record: Record, starts: Arc<Semaphore>) {
    let Some(revision) = revision_of(&record) else {
        let error = micro_api::Error::internal("runtime", "the build left no revision");
        return settle(control.db.failed(&record, error).await).await;
    };
    let permit = starts.acquire_owned().await;
    let facts = match facts(control, &revision).await {
        Ok(facts) => facts,
        Err(error) if !lost::is_final(&error) => {
            tracing::warn!(revision = %revision.revision, error = chain(&error), "A revision cannot be read yet");
            drop(permit);
            // It is still this node's, in the state that it had: the next round takes it up again.
            return tokio::time::sleep(RETRY).await;
        }
        Err(error) => {
            tracing::error!(revision = %revision.revision, error = chain(&error), "A revision cannot be read");
            let error = micro_api::Error::internal(
                "runtime",
                "the build's result is gone or damaged: update it again",
            );
            settle(control.db.failed(&record, error).await).await;
            return control.poke();
        }
    };
    let Some(record) = settled(control.db.starting(&record).await).await else { return };
    if facts.job {
        drop(permit);
        if let Some(record) = settled(control.db.running(&record, true).await).await {
            control.poke();
            job::run(control, record).await;
        }
        return control.poke();
    }
    bring_up(control, record, revision, facts.public).await;
    control.poke();
}

/// What an attempt to start came to.
enum Attempt {
    /// It serves.
    Up,
    /// It was killed or superseded, or the rows cannot be written.
    Overtaken,
    /// It cannot serve, or not yet.
    Failed(micro_api::Error),
}

/// Loads and warms, with restarts, then switches.
async fn bring_up(control: &Control, mut record: Record, mut revision: ActiveRevision, public: bool) {
    loop {
        // Schedules begin with what comes after this.
        revision.started_ms = record.started_ms;
        let error = match attempt(control, &record, &revision, public).await {
            Attempt::Up => return,
            Attempt::Overtaken => break,
            Attempt::Failed(error) => error,
        };
        if record.starts > i64::from(record.request.retries) {
            settle(control.db.failed(&record, error).await).await;
            break;
        }
        tokio::time::sleep(backoff(control, record.starts)).await;
        match settled(control.db.starting(&record).await).await {
            Some(again) => record = again,
            None => break,
        }
    }
    // Nothing routes to it.
    control.node.drain(&revision).await;
}

async fn attempt(control: &Control, record: &Record, revision: &ActiveRevision, public: bool) -> Attempt {
    let within = control.config.start_timeout;
    match tokio::time::timeout(within, control.node.start(revision)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Attempt::Failed(error),
        Err(_) => {
            let detail = format!("it was not ready within {} s", within.as_secs());
            return Attempt::Failed(micro_api::Error::timeout("runtime", detail));
        }
    }
    match control.switch(record, revision, public).await {
        Ok(()) => Attempt::Up,
        Err(SwitchError::Unservable(error)) => Attempt::Failed(error),
        Err(SwitchError::Db(error)) => {
            settle(Err(error)).await;
            Attempt::Overtaken
        }
    }
}

/// `stopping` → `stopped` or `superseded`.
async fn finish(control: Arc<Control>, record: Record) {
    if let Some(revision) = revision_of(&record) {
        drain(&control, &revision).await;
    }
    settle(control.db.stopped(&record).await).await;
    control.poke();
}

async fn drain(control: &Control, revision: &ActiveRevision) {
    if tokio::time::timeout(control.config.drain_timeout, control.node.drain(revision)).await.is_err() {
        tracing::warn!(deployment = revision.deployment, "Calls outlived the drain of their service");
    }
}

/// What the reconciler wants to know of a manifest.
struct Facts {
    /// It runs to its end, once. A job with schedules stays, to be started by them.
    job: bool,
    /// Its author wants everybody to call it.
    public: bool,
}

async fn facts(control: &Control, revision: &ActiveRevision) -> Result<Facts, micro_artifact::Error> {
    let (store, key, digest) =
        (control.config.artifacts.clone(), control.config.key.clone(), revision.revision);
    let read = tokio::task::spawn_blocking(move || micro_artifact::read_manifest(&store, &key, &digest));
    match read.await {
        Ok(manifest) => {
            let manifest = manifest?;
            Ok(Facts { job: manifest.runs_once(), public: manifest.settings.service.public })
        }
        // Only when the process is ending.
        Err(_) => Err(micro_artifact::Error::Missing(digest)),
    }
}

/// Pause before restart number `starts`: doubles, at most 64 times the first.
pub(super) fn backoff(control: &Control, starts: i64) -> Duration {
    let doublings = u32::try_from(starts.clamp(1, 7) - 1).unwrap_or(0);
    control.config.backoff * 2_u32.pow(doublings)
}

/// The result of a step, or `None` after it was dealt with. A step that the rows refused was overtaken by a kill or an
/// update. Anything else is worth a line and a pause: a full disk can be read but not written, and the next round would
/// find the same work at once.
pub(super) async fn settled<T>(result: Result<T, micro_db::Error>) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(error @ (micro_db::Error::Illegal { .. } | micro_db::Error::Elsewhere { .. })) => {
            tracing::debug!(error = chain(&error), "A deployment moved on meanwhile");
            None
        }
        Err(error) => {
            tracing::warn!(error = chain(&error), "A deployment's step was not noted");
            tokio::time::sleep(RETRY).await;
            None
        }
    }
}

/// As [`settled`], for the last step of a task.
pub(super) async fn settle(result: Result<(), micro_db::Error>) {
    let _dealt_with = settled(result).await;
}
