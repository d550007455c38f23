//! One code path from `built` to `running` and from `stopping` to the end.
//!
//! It takes no input: woken by a change or by time, it reads the rows, and starts one task for each deployment that has
//! none. A step that was cut short by a crash is found in the rows and done again; each step can be.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use micro_artifact::Digest;
use micro_db::deployments::Record;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::job;
use super::routes::{SwitchError, revision_of};
use crate::error::chain;
use crate::{ActiveRevision, Control};

/// Revisions loaded and warmed at once.
const STARTS_AT_ONCE: usize = 4;
/// Pause after the database refused.
const RETRY: Duration = Duration::from_secs(1);

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
    let mut tasks = Tasks {
        set: JoinSet::new(),
        starting: HashMap::new(),
        jobs: HashMap::new(),
        stopping: HashMap::new(),
        starts: Arc::new(Semaphore::new(STARTS_AT_ONCE)),
    };
    loop {
        changes.mark_unchanged();
        if let Err(error) = round(&control, &mut tasks).await {
            tracing::warn!(error = chain(&error), "The reconciler cannot read its rows");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RETRY) => continue,
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            // The sender lives in `control`, so this ends only with a change.
            _ = changes.changed() => {}
            Some(ended) = tasks.set.join_next_with_id(), if !tasks.set.is_empty() => tasks.forget(ended),
        }
    }
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
        resume(control, tasks).await?;
        control.mark_resumed();
    }
    let work = control.db.work().await?;
    control.busy.store(control.db.is_busy().await?, Ordering::Relaxed);
    for record in work.start {
        let id = record.deployment.id.clone();
        if tasks.starting.contains_key(&id) || tasks.jobs.contains_key(&id) {
            continue;
        }
        let task = start(Arc::clone(control), record, Arc::clone(&tasks.starts));
        let handle = tasks.set.spawn(task);
        tasks.starting.insert(id, handle);
    }
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

/// After a start of this process: routes what is active and takes up the jobs that ran.
async fn resume(control: &Arc<Control>, tasks: &mut Tasks) -> Result<(), micro_db::Error> {
    recompile(control).await?;
    for unservable in control.route().await? {
        tracing::error!(deployment = unservable.deployment, error = %unservable.error, "A service cannot be loaded any more");
        // Where nodes share artifacts another one may have it in memory, and the bucket may be back soon.
        if control.config.artifacts.remote().is_some() {
            continue;
        }
        if let Some(record) = control.db.deployment_by_id(&unservable.deployment).await? {
            settle(control.db.failed(&record, unservable.error).await).await;
        }
    }
    for row in control.db.active().await?.into_iter().filter(|row| row.job) {
        if let Some(record) = control.db.deployment_by_id(&row.deployment).await? {
            let handle = tasks.set.spawn(job::resume(Arc::clone(control), record));
            tasks.jobs.insert(row.deployment, handle);
        }
    }
    Ok(())
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
    for record in control.db.work().await?.start {
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
            Err(error @ (micro_db::Error::Illegal { .. } | micro_db::Error::NoDeployment)) => {
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
        stopping.iter().any(|record| routed.contains(&record.deployment.id))
    };
    if routed {
        control.route().await?;
    }
    Ok(())
}

/// `built` or `starting` → `running` or `failed`.
async fn start(control: Arc<Control>, record: Record, starts: Arc<Semaphore>) {
    let Some(revision) = revision_of(&record) else {
        let error = micro_api::Error::internal("runtime", "the build left no revision");
        return settle(control.db.failed(&record, error).await).await;
    };
    let permit = starts.acquire_owned().await;
    let facts = match facts(&control, &revision).await {
        Ok(facts) => facts,
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
            job::run(&control, record).await;
        }
        return control.poke();
    }
    bring_up(&control, record, revision, facts.public).await;
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
async fn bring_up(control: &Control, mut record: Record, revision: ActiveRevision, public: bool) {
    loop {
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
    if let Some(revision) = revision_of(&record)
        && tokio::time::timeout(control.config.drain_timeout, control.node.drain(&revision)).await.is_err()
    {
        tracing::warn!(deployment = record.deployment.id, "Calls outlived the drain of their service");
    }
    settle(control.db.stopped(&record).await).await;
    control.poke();
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
        Err(error @ micro_db::Error::Illegal { .. }) => {
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
