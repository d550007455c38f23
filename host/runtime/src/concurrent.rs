//! Several calls in one instance, for services that opted in with `reuse = "concurrent"`.
//!
//! CPU time and memory belong to the instance: what one call overruns, all calls in it lose. wasmtime cannot cancel
//! one call, so a call that passes its deadline retires the instance: no new call enters, the others end, and what
//! remains goes with the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use micro_capability::{Context, View};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use wasmtime::AsContextMut;
use wasmtime::component::Accessor;

use crate::driver::{Driver, Ended, Threads};
use crate::fault::{Fault, Place, SPACE_MEMORY};
use crate::http::{self, Inbound, finish_p3, prepare_p3};
use crate::instance::{Bound, Export, Start, call_fault};
use crate::meter::{Met, Meter};
use crate::revision::Revision;
use crate::rpc;
use crate::slot::Slot;
use crate::state::State;

/// How long past its deadline a call may keep the instance from being dropped.
const GRACE: Duration = Duration::from_secs(1);

/// An instance that takes calls from a queue.
pub(crate) struct Worker {
    export: Export,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    load: AtomicUsize,
    calls: AtomicU32,
    meter: Arc<Meter>,
    born: Instant,
    /// When the last of its calls must have ended, milliseconds after `born`.
    deadline_ms: AtomicU64,
    idle_since_ms: AtomicU64,
}

/// One call for a worker.
pub(crate) struct Job {
    work: Work,
    context: Arc<Context>,
    worker: Arc<Worker>,
}

/// What the call is, and where its answer goes.
pub(crate) enum Work {
    Rpc { request: Option<rpc::Request>, slot: Arc<Slot<rpc::Answer>> },
    Http { request: Option<Box<Inbound>>, slot: Arc<Slot<http::Answer>> },
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.worker.load.fetch_sub(1, Relaxed) == 1 {
            self.worker.idle_since_ms.store(self.worker.age_ms(), Relaxed);
        }
        let fault = self.worker.fault();
        match &self.work {
            Work::Rpc { slot, .. } => slot.fill_first(Err(fault)),
            Work::Http { slot, .. } => slot.fill_first(Err(fault)),
        }
    }
}

impl Worker {
    /// Hands a call over if there is room; gives it back otherwise.
    pub(crate) fn offer(
        self: &Arc<Self>,
        export: Export,
        calls_at_once: usize,
        context: &Arc<Context>,
        work: Work,
    ) -> Result<(), Work> {
        if self.export != export {
            return Err(work);
        }
        let jobs = self.jobs.lock();
        let Some(sender) = jobs.as_ref() else { return Err(work) };
        if self.load.load(Relaxed) >= calls_at_once {
            return Err(work);
        }
        let Ok(place) = sender.try_reserve() else { return Err(work) };
        self.load.fetch_add(1, Relaxed);
        let until = context.deadline.saturating_duration_since(self.born) + GRACE;
        self.deadline_ms.fetch_max(millis(until), Relaxed);
        place.send(Job { work, context: Arc::clone(context), worker: Arc::clone(self) });
        Ok(())
    }

    /// Takes no more calls; ends when those it has are over.
    pub(crate) fn retire(&self) {
        drop(self.jobs.lock().take());
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.jobs.lock().is_none()
    }

    /// No call since that long.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        let idle = || Duration::from_millis(self.age_ms().saturating_sub(self.idle_since_ms.load(Relaxed)));
        (self.load.load(Relaxed) == 0).then(idle)
    }

    pub(crate) fn is_worn(&self, calls_max: u32, age_max: Duration) -> bool {
        self.calls.load(Relaxed) >= calls_max || self.born.elapsed() >= age_max
    }

    fn age_ms(&self) -> u64 {
        millis(self.born.elapsed())
    }

    fn is_overdue(&self) -> bool {
        self.load.load(Relaxed) > 0 && self.age_ms() > self.deadline_ms.load(Relaxed)
    }

    /// Why the calls of an instance that ended early failed.
    fn fault(&self) -> Fault {
        match self.meter.met() {
            Met::Cpu => Fault::CpuLimit(Place::default()),
            Met::Memory => Fault::MemoryLimit(Place::default()),
            Met::Table => Fault::TableLimit(Place::default()),
            Met::NodeMemory => Fault::Saturated("memory of the node"),
            Met::SpaceMemory => Fault::Saturated(SPACE_MEMORY),
            Met::Cancelled => Fault::WallLimit,
            Met::Nothing => Fault::Trap("the instance that served the call trapped".to_owned()),
        }
    }

    /// Starts an instance. The caller keeps the worker where calls find it.
    pub(crate) fn start(
        revision: &Arc<Revision>,
        start: Start,
        export: Export,
        calls_at_once: usize,
        context: &Arc<Context>,
    ) -> Arc<Self> {
        let (sender, receiver) = mpsc::channel(calls_at_once.max(1));
        let meter = start.meter();
        let worker = Arc::new(Self {
            export,
            jobs: Mutex::new(Some(sender)),
            load: AtomicUsize::new(0),
            calls: AtomicU32::new(0),
            meter: Arc::clone(&meter),
            born: Instant::now(),
            deadline_ms: AtomicU64::new(0),
            idle_since_ms: AtomicU64::new(0),
        });
        let age = revision.reuse_bounds().age + revision.limits().http_total;
        let call = run(Arc::clone(revision), start, export, Arc::clone(&worker), receiver);
        let (revision, context) = (Arc::clone(revision), Arc::clone(context));
        let deadline = worker.born + age;
        let driver =
            Driver::new(Box::pin(call), meter, Arc::clone(&revision), context, deadline, Threads::Front);
        let watched = Arc::clone(&worker);
        revision.lane().spawn(watch(driver, watched));
        worker
    }
}

/// Runs the worker until it ends, or until a call of it is long overdue.
async fn watch(driver: Driver, worker: Arc<Worker>) {
    let mut driver = driver;
    let ended = std::future::poll_fn(|cx| driver.poll(cx));
    let mut ended = std::pin::pin!(ended);
    loop {
        tokio::select! {
            result = &mut ended => {
                // The driver has logged a fault; the calls' own slots carry it to the callers.
                drop(result);
                break;
            }
            () = tokio::time::sleep(GRACE) => {
                if worker.is_overdue() {
                    worker.meter.meet(Met::Cancelled);
                    break;
                }
            }
        }
    }
    worker.retire();
}

async fn run(
    revision: Arc<Revision>,
    start: Start,
    export: Export,
    worker: Arc<Worker>,
    mut jobs: mpsc::Receiver<Job>,
) -> Ended {
    let mut instance = start.instance(&revision, export).await?;
    let bound = Arc::clone(&instance.bound);
    let bounds = revision.reuse_bounds();
    let (cpu, front_cpu) = (revision.limits().cpu, bounds.front_cpu);
    let wall = revision.limits().wall;
    let serve = async |accessor: &Accessor<State>| {
        let mut running = FuturesUnordered::new();
        std::future::poll_fn(|cx| {
            loop {
                match running.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(()))) => {
                        // The driver ends with the instance, long after the service is known by its calls.
                        if !worker.meter.is_heavy() {
                            revision.lane().note_quick();
                        }
                        continue;
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) | Poll::Pending => {}
                }
                // An instance that moved to the slow threads stays there: new calls deserve a new one.
                if worker.meter.must_leave() || worker.is_worn(bounds.calls, bounds.age) {
                    worker.retire();
                }
                match jobs.poll_recv(cx) {
                    Poll::Ready(Some(job)) => {
                        worker.calls.fetch_add(1, Relaxed);
                        worker.meter.extend(cpu, front_cpu);
                        running.push(serve_job(accessor, &bound, job, wall));
                    }
                    Poll::Ready(None) if running.is_empty() => return Poll::Ready(wasmtime::error::Ok(())),
                    Poll::Ready(None) | Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    };
    let served = instance.store.run_concurrent(serve).await;
    worker.retire();
    match served.and_then(|served| served) {
        Ok(()) => Ok(None),
        Err(error) => Err(call_fault(&error, &instance.meter)),
    }
}

/// Serves one call. One that streams has `wall` left once its caller is gone.
async fn serve_job(
    accessor: &Accessor<State>,
    bound: &Bound,
    mut job: Job,
    wall: Duration,
) -> wasmtime::Result<()> {
    let context = Arc::clone(&job.context);
    let call = accessor.with(|mut access| access.data_mut().capability().begin(Arc::clone(&context)));
    let deadline = context.deadline + GRACE;
    let near = match &job.work {
        Work::Rpc { request, .. } => request.as_ref().and_then(|request| request.stream.clone()),
        Work::Http { .. } => None,
    };
    let abandoned = async {
        match near {
            Some(near) => near.left().await,
            None => std::future::pending().await,
        }
        tokio::time::sleep(wall).await;
    };
    let serve = async {
        match (&mut job.work, bound) {
            (Work::Rpc { request, slot }, Bound::Handler(service)) => {
                let Some(mut request) = request.take() else { return Ok(()) };
                if let Some(near) = request.stream.take() {
                    accessor.with(|mut access| access.data_mut().capability().attach(call, near));
                }
                slot.fill(rpc::call_async(accessor, service, &context, request, call).await?);
                Ok(())
            }
            (Work::Http { request, slot }, Bound::HttpP3(service)) => {
                let Some(request) = request.take() else { return Ok(()) };
                let prepared =
                    accessor.with(|mut access| prepare_p3(access.as_context_mut(), service, *request))?;
                accessor.with(|mut access| access.data_mut().capability().bind(call, prepared.task()));
                finish_p3(accessor, service, prepared, slot).await
            }
            _ => Err(wasmtime::format_err!("the instance was made for another export")),
        }
    };
    let served = tokio::select! {
        biased;
        served = tokio::time::timeout_at(deadline.into(), serve) => served.ok(),
        () = abandoned => None,
    };
    accessor.with(|mut access| access.data_mut().capability().end(call));
    served.unwrap_or_else(|| {
        // The task goes on inside until the store is dropped.
        job.worker.retire();
        Ok(())
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
