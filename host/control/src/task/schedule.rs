//! Calls endpoints, and starts jobs, when their schedules are due.
//!
//! One loop for all schedules of what runs: it sleeps until the next of them, a change, or [`BEAT`], claims the tick in
//! the rows, which lets one node have it, and starts the run as a task of its own. Every [`BEAT`] it renews the leases of
//! this process's runs and looks after those whose node died. Without a free place a tick waits, and another node may
//! have it; what waits longer than [`timer::GRACE_MS`] counts as missed.

mod runs;
pub(crate) mod timer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use micro_api::Error;
use micro_api::manifest::Overlap;
use micro_db::{Claimed, HeldRun, ScheduleKey, Wish};
use tokio_util::sync::CancellationToken;

pub(crate) use runs::Runs;
use timer::{Due, Timer};

use crate::error::chain;
use crate::{Control, Scheduled};

/// Between two words of this node about its runs: a lease lasts three of them.
const BEAT: Duration = Duration::from_secs(3);
/// Pause after the database refused.
const RETRY: Duration = Duration::from_secs(1);

/// All timers, and what was there before this process.
#[derive(Default)]
struct Board {
    timers: HashMap<ScheduleKey, Timer>,
    /// The newest ticks that were had when this process began.
    last: HashMap<ScheduleKey, i64>,
}

/// Runs what is due until `stop`; what is under way then is given up, and another node may begin it again.
pub(crate) async fn run(control: Arc<Control>, stop: CancellationToken) {
    if let Some(board) = open(&control, &stop).await {
        watch(&control, board, &stop).await;
    }
    // Also where the process stops before it has begun: a run by hand may be under way.
    let held = control.runs.stop_all();
    if let Err(error) = control.db.release_runs(&held).await {
        tracing::warn!(error = chain(&error), "Runs of schedules were not given up");
    }
}

/// Runs what is due, until `stop`.
async fn watch(control: &Arc<Control>, mut board: Board, stop: &CancellationToken) {
    let mut changes = control.changes();
    let mut beaten: Option<Instant> = None;
    loop {
        changes.mark_unchanged();
        // Asked for first: what begins meanwhile is of a schedule that may be newer than those read here.
        let jobs = control.runs.jobs();
        board.refresh(control.node.schedules().await, control.config.clock.now_ms());
        if let Err(error) = end_orphans(control, &board, jobs).await {
            tracing::warn!(error = chain(&error), "The end of a job was not written down");
        }
        let mut wait = BEAT;
        if beaten.is_none_or(|at| at.elapsed() >= BEAT) {
            beaten = Some(Instant::now());
            if let Err(error) = beat(control, &board).await {
                tracing::warn!(error = chain(&error), "Runs of schedules cannot be looked after");
            }
        }
        match board.round(control).await {
            Ok(next) => wait = wait.min(next),
            Err(error) => {
                tracing::warn!(error = chain(&error), "A tick of a schedule cannot be claimed");
                wait = RETRY;
            }
        }
        let to_beat = beaten.map_or(BEAT, |at| BEAT.saturating_sub(at.elapsed()));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait.min(to_beat)) => {}
            () = control.runs.ended() => {}
            // Ends only with a change: the sender lives in `control`.
            _ = changes.changed() => {}
        }
    }
}

/// Waits for what runs, and reads what was had before. None when the process stops first.
async fn open(control: &Control, stop: &CancellationToken) -> Option<Board> {
    tokio::select! {
        () = control.resumed() => {}
        () = stop.cancelled() => return None,
    }
    loop {
        match control.db.last_ticks().await {
            Ok(last) => return Some(Board { last: last.into_iter().collect(), ..Board::default() }),
            Err(error) => tracing::warn!(error = chain(&error), "Ticks of schedules cannot be read"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

impl Board {
    /// Makes the timers those of `all`. One that stays goes on where it was, through an update too.
    fn refresh(&mut self, all: Vec<Arc<Scheduled>>, now_ms: i64) {
        let mut before = std::mem::take(&mut self.timers);
        for one in all {
            let key = key_of(&one);
            let last = self.last.get(&key).copied();
            let timer = match before.remove(&key) {
                Some(timer) => timer.changed(one, now_ms),
                None => Timer::new(one, last, now_ms),
            };
            match timer {
                Ok(timer) => drop(self.timers.insert(key, timer)),
                // A manifest of another version of the platform.
                Err(error) => tracing::warn!(schedule = key.schedule, %error, "A schedule cannot be read"),
            }
        }
    }

    /// Begins what is due; how long until the next.
    async fn round(&mut self, control: &Arc<Control>) -> Result<Duration, micro_db::Error> {
        let mut next = BEAT;
        for (key, timer) in &mut self.timers {
            let now_ms = control.config.clock.now_ms();
            match timer.look(now_ms) {
                Due::Never => {}
                Due::At(at_ms) => next = next.min(until(at_ms, now_ms)),
                Due::Now { tick_ms, unless_after_ms } => {
                    let spec = Arc::clone(timer.spec());
                    // The end of a run wakes the loop. Others may have a place.
                    let Some(place) = control.runs.place(&spec) else { continue };
                    let wish = Wish { unless_after_ms, ..wish(control, key, &spec, tick_ms, now_ms) };
                    let claimed = control.db.claim_run(&wish).await?;
                    timer.had(tick_ms);
                    if let Claimed::Held(run) = claimed {
                        runs::start(control, spec, run, place);
                    }
                    // It may be due again at once.
                    next = Duration::ZERO;
                }
            }
        }
        Ok(next)
    }
}

/// Ends jobs whose schedule is no more: the service was stopped, or updated to one without it. A call ends by itself.
async fn end_orphans(control: &Control, board: &Board, jobs: Vec<HeldRun>) -> Result<(), micro_db::Error> {
    for run in jobs.into_iter().filter(|run| !board.timers.contains_key(&run.key)) {
        if control.runs.stop(&run) {
            tracing::info!(schedule = run.key.schedule, run = run.id, "A job ends with its service");
            let text = "the service was stopped, or its schedule removed, while it ran";
            control.db.end_run(&run, Some(text), control.config.clock.now_ms()).await?;
        }
    }
    Ok(())
}

/// Renews leases, lets go of what is another's by now, and begins again what died elsewhere.
async fn beat(control: &Arc<Control>, board: &Board) -> Result<(), micro_db::Error> {
    let now_ms = control.config.clock.now_ms();
    let held = control.runs.held();
    if !held.is_empty() {
        for gone in control.db.beat_runs(&held, now_ms).await? {
            if control.runs.stop(&gone) {
                tracing::warn!(run = gone.id, "A run is another node's by now: it is ended here");
            }
        }
    }
    let mut places = HashMap::<ScheduleKey, Vec<runs::Place>>::new();
    let takes = |key: &ScheduleKey| {
        let place = board.timers.get(key).and_then(|timer| control.runs.place(timer.spec()));
        place.is_some_and(|place| {
            places.entry(key.clone()).or_default().push(place);
            true
        })
    };
    for run in control.db.reap_runs(&control.config.node_id, now_ms, takes).await? {
        let place = places.get_mut(&run.key).and_then(Vec::pop);
        let (Some(place), Some(timer)) = (place, board.timers.get(&run.key)) else { continue };
        tracing::info!(schedule = run.key.schedule, run = run.id, "A run is begun again whose node died");
        runs::start(control, Arc::clone(timer.spec()), run, place);
    }
    Ok(())
}

/// Runs a schedule because somebody asks for it.
///
/// # Errors
/// 409 when the run before is still under way, 429 when this node has too many.
pub(crate) async fn by_hand(
    control: &Arc<Control>,
    spec: Arc<Scheduled>,
) -> Result<HeldRun, crate::error::Error> {
    const ID: &str = "jobs";
    let key = key_of(&spec);
    let place = control.runs.place(&spec);
    let place = place.ok_or_else(|| Error::new(ID, 429, "too many runs are under way: try again later"))?;
    let now_ms = control.config.clock.now_ms();
    // A tick or another's run may stand at this very millisecond.
    for tick_ms in now_ms..now_ms + 10 {
        let wish = Wish { by_hand: true, ..wish(control, &key, &spec, tick_ms, now_ms) };
        match control.db.claim_run(&wish).await.map_err(crate::error::Error::db(ID))? {
            Claimed::Held(run) => {
                runs::start(control, spec, run.clone(), place);
                return Ok(run);
            }
            Claimed::Overlaps => {
                let detail =
                    format!("a run of {} is still under way, and its schedule allows one", key.schedule);
                return Err(Error::conflict(ID, detail).into());
            }
            Claimed::Taken => {}
        }
    }
    Err(Error::new(ID, 429, "too many ask for it at once: try again").into())
}

pub(crate) fn key_of(one: &Scheduled) -> ScheduleKey {
    ScheduleKey {
        namespace: one.namespace.clone(),
        service: one.service.to_string(),
        version: one.version.clone(),
        schedule: one.schedule.name().to_owned(),
    }
}

fn wish<'a>(
    control: &'a Control,
    key: &'a ScheduleKey,
    spec: &Scheduled,
    tick_ms: i64,
    now_ms: i64,
) -> Wish<'a> {
    Wish {
        key,
        tick_ms,
        by_hand: false,
        overlap: spec.schedule.overlap == Overlap::Allow,
        retry: spec.schedule.retry,
        unless_after_ms: None,
        node: &control.config.node_id,
        now_ms,
    }
}

fn until(at_ms: i64, now_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or_default())
}
