//! The runs that this process has: each a task, a place of a bounded number, and a lease.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use micro_db::HeldRun;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use crate::error::chain;
use crate::{Control, NotRun, Scheduled, ScheduledCall};

/// Calls at once on one node.
const CALLS_AT_ONCE: usize = 64;
/// Jobs at once on one node, which take longer; calls do not wait for them.
const JOBS_AT_ONCE: usize = 16;
/// Of one namespace.
const JOBS_OF_NAMESPACE: usize = 4;
/// How often the end of a run is tried to be written down, and the pause between: then it counts as lost.
const END_TRIES: u32 = 20;
const END_RETRY: Duration = Duration::from_millis(500);
/// Tells the service which schedule it is.
const SCHEDULE: &str = "Micro-Schedule";
/// Tells it the tick: Unix milliseconds.
const TICK: &str = "Micro-Tick";

/// A place for one run.
pub(super) type Place = OwnedSemaphorePermit;

/// A run that is under way.
struct Held {
    run: HeldRun,
    job: bool,
    /// Its task, once that was begun.
    handle: Option<AbortHandle>,
}

/// The runs of this process.
pub(crate) struct Runs {
    calls: Arc<Semaphore>,
    jobs: Arc<Semaphore>,
    /// By id.
    held: Mutex<HashMap<String, Held>>,
    ended: Notify,
}

impl Default for Runs {
    fn default() -> Self {
        Self {
            calls: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
            jobs: Arc::new(Semaphore::new(JOBS_AT_ONCE)),
            held: Mutex::default(),
            ended: Notify::new(),
        }
    }
}

impl Runs {
    /// A free place for a run of `spec`, if there is one.
    pub(super) fn place(&self, spec: &Scheduled) -> Option<Place> {
        if !spec.schedule.is_job() {
            return Arc::clone(&self.calls).try_acquire_owned().ok();
        }
        let held = self.held.lock();
        let own = held.values().filter(|held| held.job && held.run.key.namespace == spec.namespace);
        if own.count() >= JOBS_OF_NAMESPACE {
            return None;
        }
        Arc::clone(&self.jobs).try_acquire_owned().ok()
    }

    /// The jobs that are under way.
    pub(super) fn jobs(&self) -> Vec<HeldRun> {
        self.held.lock().values().filter(|held| held.job).map(|held| held.run.clone()).collect()
    }

    /// Waits until a run has ended since the last call.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// All of them.
    pub(super) fn held(&self) -> Vec<HeldRun> {
        self.held.lock().values().map(|held| held.run.clone()).collect()
    }

    /// Ends one. False when it had ended.
    pub(super) fn stop(&self, run: &HeldRun) -> bool {
        let held = self.held.lock();
        let same = held.get(&run.id).filter(|held| held.run.attempt == run.attempt);
        let handle = same.and_then(|held| held.handle.as_ref());
        handle.map(AbortHandle::abort).is_some()
    }

    /// Ends all; what they were.
    pub(super) fn stop_all(&self) -> Vec<HeldRun> {
        let held = self.held.lock();
        for handle in held.values().filter_map(|held| held.handle.as_ref()) {
            handle.abort();
        }
        held.values().map(|held| held.run.clone()).collect()
    }
}

/// Lets go of a run, however its task ends.
struct Ending {
    control: Arc<Control>,
    run: HeldRun,
    place: Option<Place>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut held = self.control.runs.held.lock();
        if held.get(&self.run.id).is_some_and(|held| held.run.attempt == self.run.attempt) {
            held.remove(&self.run.id);
        }
        drop(held);
        // A place is free before others are told.
        drop(self.place.take());
        self.control.runs.ended.notify_one();
    }
}

/// Begins a run in a task of its own.
pub(super) fn start(control: &Arc<Control>, spec: Arc<Scheduled>, run: HeldRun, place: Place) {
    // Before the task begins: its lease is to be renewed from now on.
    let held = Held { run: run.clone(), job: spec.schedule.is_job(), handle: None };
    control.runs.held.lock().insert(run.id.clone(), held);
    let ending = Ending { control: Arc::clone(control), run: run.clone(), place: Some(place) };
    let task = tokio::spawn(go(ending, spec));
    if let Some(held) = control.runs.held.lock().get_mut(&run.id)
        && held.run.attempt == run.attempt
    {
        held.handle = Some(task.abort_handle());
    }
}

async fn go(ending: Ending, spec: Arc<Scheduled>) {
    let (control, run) = (&ending.control, &ending.run);
    let name = spec.schedule.name();
    let call = ScheduledCall {
        namespace: spec.namespace.clone(),
        service: spec.service.clone(),
        version: spec.version.clone(),
        endpoint: spec.schedule.endpoint.clone(),
        metadata: vec![(SCHEDULE.to_owned(), name.to_owned()), (TICK.to_owned(), run.tick_ms.to_string())],
        request_id: run.id.clone(),
    };
    let ended = control.node.run_schedule(call).await;
    for _ in 0..END_TRIES {
        let now_ms = control.config.clock.now_ms();
        let written = match &ended {
            Ok(()) => control.db.end_run(run, None, now_ms).await,
            Err(NotRun::Skipped(error)) => control.db.skip_run(run, &error.detail, now_ms).await,
            Err(NotRun::Failed(error)) => {
                let text = format!("{} {}", error.code, error.detail);
                control.db.end_run(run, Some(&text), now_ms).await
            }
        };
        match written {
            Ok(true) => return,
            Ok(false) => {
                tracing::warn!(schedule = name, run = run.id, "A run ended after it had been lost");
                return;
            }
            Err(error) => {
                tracing::warn!(run = run.id, error = chain(&error), "The end of a run waits to be written")
            }
        }
        tokio::time::sleep(END_RETRY).await;
    }
}
