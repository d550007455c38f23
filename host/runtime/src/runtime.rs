//! The runtime of a node: every revision, the engines they share, and the bounds on all of it.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use micro_api::ServiceKey;
use micro_artifact::VerifiedArtifact;
use micro_capability::{Capabilities, Context, Guest, Scope};
use micro_engine::EngineKind;
use parking_lot::Mutex;

use crate::concurrent::Work;
use crate::config::Config;
use crate::driver::{Call as DriverCall, Driver, Lane, Threads};
use crate::epoch::Epoch;
use crate::fault::Fault;
use crate::gate::{Caps, Gate};
use crate::http::{self, Body};
use crate::instance::{Export, Launch};
use crate::job::{self, Throttle};
use crate::limits::NodeMemory;
use crate::loader::Loader;
use crate::meter::Meter;
use crate::revision::{Parts, ReuseBounds, Revision};
use crate::rpc::{self, Call};
use crate::slot::Slot;
use crate::slow::SlowPool;
use crate::stats::RevisionStats;

/// Runs revisions. One per process.
pub struct Runtime {
    pub(crate) me: Weak<Self>,
    pub(crate) config: Config,
    capabilities: Arc<Capabilities>,
    pub(crate) loader: Loader,
    pub(crate) gate: Arc<Gate>,
    slow: Arc<SlowPool>,
    node_memory: Arc<NodeMemory>,
    tokio: tokio::runtime::Handle,
    /// Services with a live revision; swept with it.
    lanes: Mutex<HashMap<ServiceKey, Weak<Lane>>>,
    /// Revisions that were called and may hold instances or code.
    pub(crate) warm: Mutex<Vec<Weak<Revision>>>,
    _epoch: Epoch,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Why the runtime does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The pools need more address space or maps than there are.
    #[error(transparent)]
    Engine(#[from] micro_engine::EngineError),
    /// No thread could be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// Not inside a tokio runtime.
    #[error("the runtime needs a tokio runtime around it")]
    Tokio(#[from] tokio::runtime::TryCurrentError),
}

impl Runtime {
    /// Makes engines, threads and the task that unloads what nobody uses.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(config: Config, capabilities: Arc<Capabilities>) -> Result<Arc<Self>, StartError> {
        let tokio = tokio::runtime::Handle::try_current()?;
        let loader = Loader::new(&config)?;
        let epoch = Epoch::start(loader.engines()).map_err(StartError::Thread)?;
        let slow = SlowPool::start(config.slow_threads(), &tokio).map_err(StartError::Thread)?;
        let node_memory = Arc::new(NodeMemory::new(config.guest_memory_bytes()));
        let caps = Caps {
            node: config.engine.slots as usize,
            service: config.instances_per_service,
            node_queue: config.queue_per_node,
            service_queue: config.queue_per_service,
        };
        let gate = Gate::new(caps, Arc::clone(&node_memory));
        let runtime = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            config,
            capabilities,
            loader,
            gate,
            slow: Arc::new(slow),
            node_memory,
            tokio,
            lanes: Mutex::new(HashMap::new()),
            warm: Mutex::new(Vec::new()),
            _epoch: epoch,
        });
        runtime.tokio.spawn(crate::sweep::sweep(Arc::downgrade(&runtime)));
        Ok(runtime)
    }

    /// The bounds in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The process's backends.
    pub fn capabilities(&self) -> &Arc<Capabilities> {
        &self.capabilities
    }

    /// Takes a revision up. Cheap: nothing is loaded until it is called or warmed.
    ///
    /// # Errors
    /// When its grants cannot be read, or its code is for another engine than this build's.
    pub fn revision(&self, artifact: VerifiedArtifact) -> Result<Arc<Revision>, Fault> {
        let manifest = Arc::clone(artifact.manifest());
        let Some(kind) = EngineKind::from_id(&manifest.engine) else {
            return Err(Fault::Load(format!(
                "compiled for the engine {}, which this build is not",
                manifest.engine
            )));
        };
        let scope = Scope {
            namespace: manifest.namespace.clone(),
            service: manifest.service.clone(),
            version: manifest.version.clone(),
        };
        let lane = self.lane(scope.key());
        let limits = self.config.service.lowered(&manifest.settings.limits);
        let guest = Guest::configure(scope, &manifest.settings, Arc::clone(&self.capabilities));
        let guest = guest.map_err(|error| Fault::Load(error.to_string()))?;
        Ok(Arc::new(Revision::new(Parts {
            artifact,
            kind,
            guest,
            limits,
            lane,
            node_memory: Arc::clone(&self.node_memory),
            reuse: ReuseBounds {
                calls: self.config.reuse_calls,
                idle: self.config.reuse_idle,
                age: self.config.reuse_age,
                front_cpu: self.config.front_cpu,
            },
        })))
    }

    fn lane(&self, key: ServiceKey) -> Arc<Lane> {
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get(&key).and_then(Weak::upgrade) {
            return lane;
        }
        lanes.retain(|_, lane| lane.strong_count() > 0);
        let (slow, tokio) = (Arc::clone(&self.slow), self.tokio.clone());
        let lane = Arc::new(Lane::new(Arc::new(key.clone()), slow, tokio, self.config.slow_sticky));
        lanes.insert(key, Arc::downgrade(&lane));
        lane
    }

    /// Loads a revision's code and makes one instance of it, so that a revision that cannot start never serves.
    ///
    /// # Errors
    /// [`Fault::Load`] and [`Fault::Start`] say what is wrong with it.
    pub async fn warm(&self, revision: &Arc<Revision>) -> Result<(), Fault> {
        let exports = revision.manifest().exports;
        self.loader.load(self, revision).await?;
        let export = match (exports.handler, exports.http) {
            (Some(_), _) => Export::Handler,
            (None, Some(_)) => Export::Http,
            // A job is started by `run` alone.
            (None, None) => return Ok(()),
        };
        let context = Arc::new(Context {
            account: None,
            metadata: Vec::new(),
            deadline: Instant::now() + revision.limits().wall,
            traceparent: String::new(),
            request_id: String::new(),
        });
        let start = self.fresh(revision, export, &context, Launch::default()).await?;
        let meter = start.meter();
        meter.begin(revision.limits().cpu, self.config.front_cpu);
        let started = Arc::clone(revision);
        let call: DriverCall = Box::pin(async move { start.instance(&started, export).await.map(|_| None) });
        self.drive(revision, call, meter, &context, Threads::Slow).await
    }

    /// Calls an endpoint of the `handler` export.
    ///
    /// # Errors
    /// [`Fault::Guest`] is the handler's own answer; all others are the platform's.
    pub async fn call(&self, revision: &Arc<Revision>, call: Call) -> Result<Bytes, Fault> {
        if !crate::driver::is_inside_call() {
            let answer = self.call_counted(revision, call).await;
            if let Ok(bytes) = &answer {
                revision.guest().tally().egress(bytes.len() as u64);
            }
            return answer;
        }
        // A guest calls another service. wasmtime runs one event loop a thread at a time, and calls inside calls would
        // pile up on one stack: the inner call gets a task of its own, which ends with the outer one.
        let runtime = self.me.upgrade().ok_or_else(|| Fault::Host("the runtime is gone".to_owned()))?;
        let revision = Arc::clone(revision);
        wasmtime_wasi::runtime::spawn(async move { runtime.call_counted(&revision, call).await }).await
    }

    async fn call_counted(&self, revision: &Arc<Revision>, call: Call) -> Result<Bytes, Fault> {
        let began = Instant::now();
        let _activity = revision.activity();
        let result = if call.context.deadline <= began {
            // Nobody waits for the answer any more.
            Err(Fault::WallLimit)
        } else {
            self.call_inner(revision, call).await
        };
        revision.stats_cells().record(began.elapsed(), result.is_err());
        result
    }

    async fn call_inner(&self, revision: &Arc<Revision>, call: Call) -> Result<Bytes, Fault> {
        let limits = revision.limits();
        if call.request.len() as u64 > limits.request_bytes {
            revision.log_fault(&Fault::RequestLimit, &call.context.request_id);
            return Err(Fault::RequestLimit);
        }
        let context = bounded(call.context, limits.wall);
        let request =
            rpc::Request { endpoint: call.endpoint, codec: call.codec, bytes: call.request, stream: None };
        let slot = Slot::new();
        let answer = if self.is_concurrent(revision, Export::Handler) {
            let work = Work::Rpc { request: Some(request), slot: Arc::clone(&slot) };
            self.offer(revision, Export::Handler, &context, &context, work).await?;
            within(&context, &slot).await.inspect_err(|fault| revision.log_fault(fault, &context.request_id))
        } else {
            let start = self.start(revision, Export::Handler, &context).await?;
            let meter = start.meter();
            meter.begin(limits.cpu, self.config.front_cpu);
            let served =
                rpc::serve(Arc::clone(revision), start, Arc::clone(&context), request, Arc::clone(&slot));
            let driver = self.driver(revision, Box::pin(served), meter, &context, Threads::Front);
            answer(driver, &slot).await
        };
        let checked = rpc::check(answer, limits.response_bytes);
        if let Err(Fault::ResponseLimit) = checked {
            revision.log_fault(&Fault::ResponseLimit, &context.request_id);
        }
        checked
    }

    /// Sends an HTTP request through the `wasi:http` export. The answer's body may run the guest while it is read.
    ///
    /// # Errors
    /// What goes wrong before the head of the answer; later faults break the body off.
    pub async fn http(
        &self,
        revision: &Arc<Revision>,
        request: ::http::Request<Body>,
        context: Context,
    ) -> Result<::http::Response<Body>, Fault> {
        let began = Instant::now();
        let result = self.http_inner(revision, request, context).await;
        revision.stats_cells().record(began.elapsed(), result.is_err());
        result
    }

    async fn http_inner(
        &self,
        revision: &Arc<Revision>,
        request: ::http::Request<Body>,
        context: Context,
    ) -> Result<::http::Response<Body>, Fault> {
        let activity = revision.activity();
        let limits = *revision.limits();
        if http_body::Body::size_hint(request.body()).lower() > limits.request_bytes {
            revision.log_fault(&Fault::RequestLimit, &context.request_id);
            return Err(Fault::RequestLimit);
        }
        let head = bounded(context.clone(), limits.wall);
        // What the guest calls while it streams may take as long as the answer.
        let context = bounded(context, limits.http_total);
        let slot = Slot::new();
        let revision = Arc::clone(revision);
        if self.is_concurrent(&revision, Export::Http) {
            let (request, upload) = http::inbound(request, limits.request_bytes);
            let work = Work::Http { request: Some(Box::new(request)), slot: Arc::clone(&slot) };
            let worker = self.offer(&revision, Export::Http, &head, &context, work).await?;
            let answer = http::exchange(revision, &head, None, &slot, &upload, activity).await;
            if let Err(Fault::WallLimit) = answer {
                worker.retire();
            }
            return answer;
        }
        let start = self.start(&revision, Export::Http, &head).await?;
        let meter = start.meter();
        meter.begin(limits.cpu, self.config.front_cpu);
        // The guest's time runs from here: waiting for an instance is not its doing.
        let (request, upload) = http::inbound(request, limits.request_bytes);
        let served =
            http::serve(Arc::clone(&revision), start, Arc::clone(&context), request, Arc::clone(&slot));
        let mut driver = self.driver(&revision, Box::pin(served), meter, &head, Threads::Front);
        driver.set_deadline(upload.head_due(limits.wall, limits.http_total));
        http::exchange(revision, &head, Some(driver), &slot, &upload, activity).await
    }

    /// Runs a job to its end and returns its exit code. `args` of `None` are the manifest's. What the platform says in the
    /// context's metadata are environment variables of the job: `Micro-Tick` is `MICRO_TICK`.
    ///
    /// # Errors
    /// When it traps, runs into a limit or cannot start.
    pub async fn run(
        &self,
        revision: &Arc<Revision>,
        args: Option<Vec<String>>,
        context: Context,
    ) -> Result<i32, Fault> {
        let began = Instant::now();
        let _activity = revision.activity();
        let context = bounded(context, revision.limits().job_wall);
        let launch = Launch { args, env: environment(&context) };
        let start = self.fresh(revision, Export::Run, &context, launch).await?;
        let meter = start.meter();
        meter.begin_unlimited();
        let slot = Slot::new();
        let served = job::serve(Arc::clone(revision), start, Arc::clone(&context), Arc::clone(&slot));
        let job = Throttle::new(served, Arc::clone(&meter), revision.limits().job_cpu_permille);
        let ended = self.drive(revision, Box::pin(job), meter, &context, Threads::Slow).await;
        revision.stats_cells().record(began.elapsed(), ended.is_err());
        ended?;
        slot.take().ok_or_else(|| Fault::NoAnswer("the job ended without an exit code".to_owned()))
    }

    /// Counters of a revision.
    pub fn stats(&self, revision: &Revision) -> RevisionStats {
        revision.stats()
    }

    /// Waits until no call of a revision runs, then lets go of its instances and its code. Calls of it that come
    /// later still work; routing must have moved on before.
    pub async fn drain(&self, revision: &Arc<Revision>) {
        revision.quiet().await;
        self.retire(revision);
    }

    /// Lets go of a revision's idle instances and its code at once; running calls end by themselves.
    pub fn retire(&self, revision: &Arc<Revision>) {
        revision.retire();
        revision.loaded.store(None);
    }

    /// How many components are loaded.
    pub fn loaded(&self) -> usize {
        self.loader.count()
    }

    /// Guest memory in use on the node, bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.node_memory.used_bytes()
    }
}

// === How a call runs ===

impl Runtime {
    pub(crate) fn driver(
        &self,
        revision: &Arc<Revision>,
        call: DriverCall,
        meter: Arc<Meter>,
        context: &Arc<Context>,
        threads: Threads,
    ) -> Driver {
        Driver::new(call, meter, Arc::clone(revision), Arc::clone(context), context.deadline, threads)
    }

    async fn drive(
        &self,
        revision: &Arc<Revision>,
        call: DriverCall,
        meter: Arc<Meter>,
        context: &Arc<Context>,
        threads: Threads,
    ) -> Result<(), Fault> {
        let mut driver = self.driver(revision, call, meter, context, threads);
        std::future::poll_fn(|cx| driver.poll(cx)).await
    }
}

/// What the platform says of a job's call. A guest reads metadata with each call, and a job has none.
fn environment(context: &Context) -> Vec<(String, String)> {
    let own = context.metadata.iter().filter(|(key, _)| key.starts_with("Micro-"));
    own.map(|(key, value)| (key.to_uppercase().replace('-', "_"), value.clone())).collect()
}

/// The call's context, with a deadline no later than the service's limit allows.
pub(crate) fn bounded(mut context: Context, wall: std::time::Duration) -> Arc<Context> {
    context.deadline = context.deadline.min(Instant::now() + wall);
    Arc::new(context)
}

/// How often a guest that has answered is asked whether it is done.
const TURNS_MAX: u32 = 4;

/// Runs a call until its answer is there; what the guest still does then goes on by itself.
async fn answer(mut driver: Driver, slot: &Slot<rpc::Answer>) -> rpc::Answer {
    let answer = std::future::poll_fn(|cx| {
        slot.register(cx);
        let ended = driver.poll(cx);
        if let std::task::Poll::Ready(Err(fault)) = ended {
            return std::task::Poll::Ready(Err(fault));
        }
        match slot.take() {
            Some(answer) => {
                // Most guests are done a moment after they answered: asking a few times saves a task. A fault was logged.
                for _ in 0..TURNS_MAX {
                    if driver.is_done() || driver.poll(cx).is_ready() {
                        break;
                    }
                }
                std::task::Poll::Ready(answer)
            }
            None if ended.is_ready() => {
                std::task::Poll::Ready(Err(Fault::NoAnswer("the service ended without an answer".to_owned())))
            }
            None => std::task::Poll::Pending,
        }
    })
    .await;
    driver.detach();
    answer
}

/// Waits for the answer of an instance that runs by itself.
async fn within(context: &Context, slot: &Slot<rpc::Answer>) -> rpc::Answer {
    let answer = std::future::poll_fn(|cx| slot.poll_take(cx));
    tokio::time::timeout_at(context.deadline.into(), answer).await.unwrap_or(Err(Fault::WallLimit))
}

/// Keeps the count of loaded components together with its cap.
pub(crate) type LoadedCount = Arc<AtomicUsize>;
