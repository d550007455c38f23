//! One revision on this node: loaded when it is called, unloaded when nobody calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use micro_api::ServiceKey;
use micro_api::manifest::Reuse;
use micro_artifact::{Exports, Package, RevisionManifest, VerifiedArtifact, Wasi};
use micro_capability::{Guest, platform, platform_sync};
use micro_engine::EngineKind;
use parking_lot::Mutex;
use tokio::sync::Notify;
use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store};
use wasmtime_wasi_http::{p2, p3};

use crate::concurrent::Worker;
use crate::config::ServiceLimits;
use crate::driver::Lane;
use crate::fault::Fault;
use crate::instance::{Bound, Export, Instance};
use crate::limits::NodeMemory;
use crate::state::State;
use crate::stats::{RevisionStats, Stats};

/// A service's immutable build, as this node runs it. Made by [`crate::Runtime::revision`].
pub struct Revision {
    pub(crate) artifact: VerifiedArtifact,
    pub(crate) kind: EngineKind,
    guest: Arc<Guest>,
    limits: ServiceLimits,
    lane: Arc<Lane>,
    stats: Arc<Stats>,
    node_memory: Arc<NodeMemory>,
    pub(crate) loaded: ArcSwapOption<Loaded>,
    pub(crate) loading: tokio::sync::Mutex<()>,
    /// Milliseconds after `made`.
    last_used_ms: AtomicU64,
    made: Instant,
    /// Instances of `reuse = "sequential"` that wait for a call.
    #[expect(clippy::vec_box, reason = "an instance travels boxed; unpacking would copy it twice a call")]
    pub(crate) idle: Mutex<Vec<Box<Instance>>>,
    /// Tells calls that wait for a new instance that an old one is back.
    pub(crate) returned: Notify,
    /// Instances of `reuse = "concurrent"`.
    pub(crate) workers: Mutex<Vec<Arc<Worker>>>,
    reuse: ReuseBounds,
    active: AtomicUsize,
    quiet: Notify,
    retired: AtomicBool,
}

/// How long an instance may be reused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReuseBounds {
    pub(crate) calls: u32,
    pub(crate) idle: Duration,
    pub(crate) age: Duration,
    /// CPU time on a front thread that each call in a shared instance adds.
    pub(crate) front_cpu: Duration,
}

impl std::fmt::Debug for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revision")
            .field("key", self.key())
            .field("version", &self.manifest().version)
            .finish()
    }
}

/// What a revision is made of.
pub(crate) struct Parts {
    pub(crate) artifact: VerifiedArtifact,
    pub(crate) kind: EngineKind,
    pub(crate) guest: Arc<Guest>,
    pub(crate) limits: ServiceLimits,
    pub(crate) lane: Arc<Lane>,
    pub(crate) node_memory: Arc<NodeMemory>,
    pub(crate) reuse: ReuseBounds,
}

impl Revision {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            artifact: parts.artifact,
            kind: parts.kind,
            guest: parts.guest,
            limits: parts.limits,
            lane: parts.lane,
            stats: Arc::default(),
            node_memory: parts.node_memory,
            loaded: ArcSwapOption::empty(),
            loading: tokio::sync::Mutex::new(()),
            last_used_ms: AtomicU64::new(0),
            made: Instant::now(),
            idle: Mutex::new(Vec::new()),
            returned: Notify::new(),
            workers: Mutex::new(Vec::new()),
            reuse: parts.reuse,
            active: AtomicUsize::new(0),
            quiet: Notify::new(),
            retired: AtomicBool::new(false),
        }
    }

    /// The signed manifest.
    pub fn manifest(&self) -> &Arc<RevisionManifest> {
        self.artifact.manifest()
    }

    /// The revision with its files.
    pub fn artifact(&self) -> &VerifiedArtifact {
        &self.artifact
    }

    /// Namespace and service.
    pub fn key(&self) -> &ServiceKey {
        &self.lane.key
    }

    /// The limits in force, the manifest's already applied.
    pub fn limits(&self) -> &ServiceLimits {
        &self.limits
    }

    /// Counters since the revision was made.
    pub fn stats(&self) -> RevisionStats {
        self.stats.read(self.loaded.load().is_some())
    }

    pub(crate) fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }

    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    pub(crate) fn stats_cells(&self) -> &Arc<Stats> {
        &self.stats
    }

    pub(crate) fn node_memory(&self) -> &Arc<NodeMemory> {
        &self.node_memory
    }

    pub(crate) fn policy(&self) -> Reuse {
        self.manifest().settings.run.reuse
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    /// No instance is kept from here on.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Relaxed);
        self.drop_instances();
    }

    pub(crate) fn drop_instances(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        let workers = std::mem::take(&mut *self.workers.lock());
        workers.iter().for_each(|worker| worker.retire());
        drop((idle, workers));
    }

    /// An instance that waits for a call of `export`, the one that was used last.
    pub(crate) fn take_idle(&self, export: Export) -> Option<Box<Instance>> {
        let mut idle = self.idle.lock();
        let position = idle.iter().rposition(|instance| instance.export == export)?;
        Some(idle.remove(position))
    }

    /// The instance, if the service reuses its instances and this one has not served its time.
    pub(crate) fn reusable(&self, instance: Box<Instance>) -> Option<Box<Instance>> {
        let worn = instance.is_worn(self.reuse.calls, self.reuse.age);
        (self.policy() != Reuse::Fresh && !worn && !self.is_retired()).then_some(instance)
    }

    /// Keeps an instance for the next call.
    pub(crate) fn keep(&self, mut instance: Box<Instance>) {
        if self.is_retired() || instance.permit.is_wanted() {
            return;
        }
        instance.idle_since = Instant::now();
        self.idle.lock().push(instance);
        self.returned.notify_one();
    }

    /// Drops instances that nobody called lately, and those that are too old.
    pub(crate) fn drop_stale(&self) {
        let stale: Vec<_> = {
            let mut idle = self.idle.lock();
            let bounds = self.reuse;
            let is_stale = |instance: &mut Box<Instance>| {
                instance.idle_since.elapsed() >= bounds.idle || instance.is_worn(bounds.calls, bounds.age)
            };
            idle.extract_if(.., is_stale).collect()
        };
        drop(stale);
        let idle_max = self.reuse.idle;
        let mut workers = self.workers.lock();
        for worker in workers.iter() {
            if worker.idle_for().is_some_and(|idle| idle >= idle_max) {
                worker.retire();
            }
        }
        workers.retain(|worker| !worker.is_retired());
    }

    /// How long its longest-waiting instance has waited; none if none waits.
    pub(crate) fn idle_age(&self) -> Option<Duration> {
        self.idle.lock().iter().map(|instance| instance.idle_since.elapsed()).max()
    }

    /// Drops the instance that has waited longest.
    pub(crate) fn drop_oldest(&self) {
        let oldest = {
            let mut idle = self.idle.lock();
            let position = idle.iter().enumerate().min_by_key(|(_, instance)| instance.idle_since);
            position.map(|(position, _)| position).map(|position| idle.remove(position))
        };
        drop(oldest);
    }

    /// Code, instances or both are in memory.
    pub(crate) fn holds_memory(&self) -> bool {
        self.loaded.load().is_some() || !self.idle.lock().is_empty() || !self.workers.lock().is_empty()
    }

    pub(crate) fn reuse_bounds(&self) -> ReuseBounds {
        self.reuse
    }

    pub(crate) fn touch(&self) {
        self.last_used_ms.store(millis(self.made.elapsed()), Relaxed);
    }

    pub(crate) fn unused_for(&self) -> Duration {
        self.made.elapsed().saturating_sub(Duration::from_millis(self.last_used_ms.load(Relaxed)))
    }

    /// Counts a call until the guard is dropped.
    pub(crate) fn activity(self: &Arc<Self>) -> Activity {
        self.active.fetch_add(1, Relaxed);
        Activity(Arc::clone(self))
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Relaxed) > 0
    }

    /// Waits until no call runs.
    pub(crate) async fn quiet(&self) {
        loop {
            let notified = self.quiet.notified();
            if !self.is_active() {
                return;
            }
            notified.await;
        }
    }

    /// Writes why a call failed to the service's log: a limit by its name, a trap with its backtrace.
    pub(crate) fn log_fault(&self, fault: &Fault, request_id: &str) {
        if let Some(text) = fault.log_line() {
            self.log("error", &text, request_id);
        }
        if let Fault::Load(text) | Fault::Host(text) = fault {
            tracing::error!(service = %self.key(), request = request_id, error = text, "call failed");
        }
    }

    pub(crate) fn log(&self, level: &str, text: &str, request_id: &str) {
        let logs = &self.guest.capabilities().logs;
        for line in text.lines().filter(|line| !line.is_empty()) {
            logs.platform(self.guest.scope(), level, request_id, line);
        }
    }
}

/// A running call, for [`Revision::quiet`].
pub(crate) struct Activity(Arc<Revision>);

impl Drop for Activity {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Relaxed) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

/// A component's code in memory, ready to be instantiated.
pub(crate) struct Loaded {
    engine: Engine,
    handler: Option<HandlerPre>,
    http: Option<HttpPre>,
    run: Option<RunPre>,
    count: Arc<AtomicUsize>,
}

enum HandlerPre {
    Platform(platform::ServicePre<State>),
    Sync(platform_sync::ServicePre<State>),
}

enum HttpPre {
    P2(p2::bindings::ProxyPre<State>),
    P3(p3::bindings::ServicePre<State>),
}

enum RunPre {
    P2(wasmtime_wasi::p2::bindings::CommandPre<State>),
    P3(wasmtime_wasi::p3::bindings::CommandPre<State>),
}

impl Loaded {
    /// `count` is how many are loaded on the node.
    pub(crate) fn new(
        engine: &Engine,
        pre: &InstancePre<State>,
        exports: &Exports,
        count: Arc<AtomicUsize>,
    ) -> wasmtime::Result<Self> {
        let handler = match exports.handler {
            None => None,
            Some(Package::Platform) => Some(HandlerPre::Platform(platform::ServicePre::new(pre.clone())?)),
            Some(Package::PlatformSync) => {
                Some(HandlerPre::Sync(platform_sync::ServicePre::new(pre.clone())?))
            }
        };
        let http = match exports.http {
            None => None,
            Some(Wasi::P2) => Some(HttpPre::P2(p2::bindings::ProxyPre::new(pre.clone())?)),
            Some(Wasi::P3) => Some(HttpPre::P3(p3::bindings::ServicePre::new(pre.clone())?)),
        };
        let run = match exports.run {
            None => None,
            Some(Wasi::P2) => Some(RunPre::P2(wasmtime_wasi::p2::bindings::CommandPre::new(pre.clone())?)),
            Some(Wasi::P3) => Some(RunPre::P3(wasmtime_wasi::p3::bindings::CommandPre::new(pre.clone())?)),
        };
        count.fetch_add(1, Relaxed);
        Ok(Self { engine: engine.clone(), handler, http, run, count })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn has(&self, export: Export) -> bool {
        match export {
            Export::Handler => self.handler.is_some(),
            Export::Http => self.http.is_some(),
            Export::Run => self.run.is_some(),
        }
    }

    pub(crate) async fn instantiate(
        &self,
        export: Export,
        store: &mut Store<State>,
    ) -> wasmtime::Result<Bound> {
        match (export, &self.handler, &self.http, &self.run) {
            (Export::Handler, Some(HandlerPre::Platform(pre)), ..) => {
                Ok(Bound::Handler(pre.instantiate_async(store).await?))
            }
            (Export::Handler, Some(HandlerPre::Sync(pre)), ..) => {
                Ok(Bound::HandlerSync(pre.instantiate_async(store).await?))
            }
            (Export::Http, _, Some(HttpPre::P2(pre)), _) => {
                Ok(Bound::HttpP2(pre.instantiate_async(store).await?))
            }
            (Export::Http, _, Some(HttpPre::P3(pre)), _) => {
                Ok(Bound::HttpP3(pre.instantiate_async(store).await?))
            }
            (Export::Run, _, _, Some(RunPre::P2(pre))) => {
                Ok(Bound::RunP2(pre.instantiate_async(store).await?))
            }
            (Export::Run, _, _, Some(RunPre::P3(pre))) => {
                Ok(Bound::RunP3(pre.instantiate_async(store).await?))
            }
            _ => Err(wasmtime::format_err!("the component does not have the export")),
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
