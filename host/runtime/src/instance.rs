//! One instance and what it takes to make it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use micro_capability::{Ctx, platform, platform_sync};
use wasmtime::Store;
use wasmtime::component::ResourceTableError;
use wasmtime_wasi::{I32Exit, WasiCtx};
use wasmtime_wasi_http::{p2, p3};

use crate::fault::{Fault, Place, SPACE_MEMORY};
use crate::gate::Permit;
use crate::limits::Limiter;
use crate::meter::{Met, Meter, on_epoch};
use crate::revision::{Loaded, Revision};
use crate::state::State;

/// Which export a call uses. An instance serves one of them for all its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Export {
    Handler,
    Http,
    Run,
}

impl Export {
    /// As messages name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Handler => "a handler",
            Self::Http => "wasi:http",
            Self::Run => "wasi:cli/run",
        }
    }
}

/// The export of an instance, typed.
pub(crate) enum Bound {
    Handler(platform::Service),
    HandlerSync(platform_sync::Service),
    HttpP2(p2::bindings::Proxy),
    HttpP3(p3::bindings::Service),
    RunP2(wasmtime_wasi::p2::bindings::Command),
    RunP3(wasmtime_wasi::p3::bindings::Command),
}

/// A live instance. It gives its permit back when dropped.
pub(crate) struct Instance {
    pub(crate) store: Store<State>,
    pub(crate) bound: Arc<Bound>,
    pub(crate) export: Export,
    pub(crate) meter: Arc<Meter>,
    pub(crate) calls: u32,
    pub(crate) born: Instant,
    pub(crate) idle_since: Instant,
    pub(crate) permit: Permit,
}

/// What a job is started with.
#[derive(Debug, Default)]
pub(crate) struct Launch {
    /// In place of the manifest's.
    pub(crate) args: Option<Vec<String>>,
    /// Beside, and over, the manifest's.
    pub(crate) env: Vec<(String, String)>,
}

/// What a call begins with.
pub(crate) enum Start {
    /// An instance that served before.
    Reuse(Box<Instance>),
    /// Room for a new one.
    Fresh { permit: Permit, loaded: Arc<Loaded>, meter: Arc<Meter>, launch: Launch },
}

impl Start {
    pub(crate) fn meter(&self) -> Arc<Meter> {
        match self {
            Self::Reuse(instance) => Arc::clone(&instance.meter),
            Self::Fresh { meter, .. } => Arc::clone(meter),
        }
    }

    /// The instance, made now if need be.
    pub(crate) async fn instance(self, revision: &Revision, export: Export) -> Result<Box<Instance>, Fault> {
        match self {
            Self::Reuse(instance) => Ok(instance),
            Self::Fresh { permit, loaded, meter, launch } => {
                let mut store = new_store(revision, &loaded, Arc::clone(&meter), &launch);
                let bound = loaded
                    .instantiate(export, &mut store)
                    .await
                    .map_err(|error| start_fault(&error, &meter))?;
                let now = Instant::now();
                Ok(Box::new(Instance {
                    store,
                    bound: Arc::new(bound),
                    export,
                    meter,
                    calls: 0,
                    born: now,
                    idle_since: now,
                    permit,
                }))
            }
        }
    }
}

impl Instance {
    /// It has served long enough.
    pub(crate) fn is_worn(&self, calls_max: u32, age_max: Duration) -> bool {
        self.calls >= calls_max || self.born.elapsed() >= age_max
    }
}

fn new_store(revision: &Revision, loaded: &Loaded, meter: Arc<Meter>, launch: &Launch) -> Store<State> {
    let capability = Ctx::new(Arc::clone(revision.guest()));
    let wasi = wasi(revision, &capability, launch);
    let limiter = Limiter::new(
        revision.limits(),
        Arc::clone(&meter),
        Arc::clone(revision.node_memory()),
        Arc::clone(revision.stats_cells()),
        Arc::clone(revision.guest().tally()),
    );
    let state = State::new(wasi, capability, limiter);
    let mut store = Store::new(loaded.engine(), state);
    store.limiter_async(|state| &mut state.limiter);
    store.set_hostcall_fuel(message_bytes_max(revision.limits().response_bytes));
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(on_epoch(meter));
    store
}

/// What one call between guest and host may copy out of the guest: an answer, or an argument, the largest of which is
/// a value of the store.
fn message_bytes_max(response_bytes: u64) -> usize {
    const ARGUMENTS_BYTES_MAX: usize = 8 << 20;
    usize::try_from(response_bytes).unwrap_or(usize::MAX).max(ARGUMENTS_BYTES_MAX).saturating_add(1 << 20)
}

/// WASI with nothing to reach: no folders, no sockets, no names; the manifest's environment and the log as output.
fn wasi(revision: &Revision, capability: &Ctx, launch: &Launch) -> WasiCtx {
    let manifest = revision.manifest();
    let mut wasi = WasiCtx::builder();
    wasi.stdout(capability.stdout()).stderr(capability.stderr());
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    let own = manifest.env.iter().filter(|(key, _)| launch.env.iter().all(|(other, _)| other != *key));
    for (key, value) in own.chain(launch.env.iter().map(|(key, value)| (key, value))) {
        wasi.env(key, value);
    }
    wasi.arg(manifest.service.alias());
    for arg in launch.args.as_ref().unwrap_or(&manifest.args) {
        wasi.arg(arg);
    }
    wasi.build()
}

fn start_fault(error: &wasmtime::Error, meter: &Meter) -> Fault {
    match meter.met() {
        Met::Nothing if error.is::<wasmtime::PoolConcurrencyLimitError>() => {
            Fault::Saturated("instances of the node")
        }
        Met::Nothing if error.is::<wasmtime::Trap>() => call_fault(error, meter),
        Met::Nothing => Fault::Start(format!("{error:#}")),
        _ => call_fault(error, meter),
    }
}

/// Compilers keep a second stack in linear memory, below which lies nothing: a guest that recurses too deep may leave
/// memory before it leaves wasmtime's stack. Such a trap has more frames than are recorded.
fn is_stack_overflow(trap: Option<&wasmtime::Trap>, error: &wasmtime::Error) -> bool {
    let is_deep = || {
        let backtrace = error.downcast_ref::<wasmtime::WasmBacktrace>();
        backtrace.is_some_and(|backtrace| backtrace.frames().len() >= micro_engine::BACKTRACE_FRAMES_MAX)
    };
    match trap {
        Some(wasmtime::Trap::StackOverflow) => true,
        Some(wasmtime::Trap::MemoryOutOfBounds) => is_deep(),
        _ => false,
    }
}

/// The fuel of host calls, which bounds what a guest hands to the host at once.
const FUEL_IS_GONE: &str = "fuel allocated for hostcalls has been exhausted";
/// A component's handles of resources, tasks, streams and futures.
const HANDLES_ARE_GONE: &str = "store handle limit exceeded";

/// Limits of wasmtime's own, which have no type; a test meets each.
fn says(error: &wasmtime::Error, text: &str) -> bool {
    error.chain().any(|cause| cause.to_string().contains(text))
}

/// Turns what wasmtime says about a failed call into what the platform says.
pub(crate) fn call_fault(error: &wasmtime::Error, meter: &Meter) -> Fault {
    match meter.met() {
        Met::Cpu => return Fault::CpuLimit(Place::of(error)),
        Met::Cancelled => return Fault::WallLimit,
        Met::Memory => return Fault::MemoryLimit(Place::of(error)),
        Met::Table => return Fault::TableLimit(Place::of(error)),
        Met::NodeMemory => return Fault::Saturated("memory of the node"),
        Met::SpaceMemory => return Fault::Saturated(SPACE_MEMORY),
        Met::Nothing => {}
    }
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return Fault::Trap(format!("the service called exit({code}) in a call"));
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) || says(error, HANDLES_ARE_GONE) {
        return Fault::TableLimit(Place::of(error));
    }
    if says(error, FUEL_IS_GONE) {
        return Fault::ResponseLimit;
    }
    let trap = error.downcast_ref::<wasmtime::Trap>();
    if is_stack_overflow(trap, error) {
        return Fault::StackLimit(Place::of(error));
    }
    let place = Place::of(error);
    match trap {
        Some(trap) => Fault::Trap(format!("trap: {trap}{place}")),
        None => {
            // Text of host functions may name what a guest should not know: it stays with the operator.
            tracing::warn!(error = format!("{error:#}"), "a host function ended a call");
            Fault::Trap(format!("trap: a host function refused its arguments{place}"))
        }
    }
}
