//! How engines are configured.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::OnceLock;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
};

/// Address space that each linear memory reserves. A compiled component depends on it: every access inside it needs
/// no bounds check.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;

/// Stack of guest code, bytes. Recursion beyond it traps.
const GUEST_STACK_BYTES: usize = 512 << 10;

/// Stack of the fiber that guest and host functions share, bytes.
const FIBER_STACK_BYTES: usize = 2 << 20;

/// Largest per-instance bookkeeping that wasmtime may allocate, bytes.
const INSTANCE_BYTES_MAX: usize = 4 << 20;

/// Frames of a guest's stack that a trap's backtrace keeps.
pub const BACKTRACE_FRAMES_MAX: usize = 64;

/// Which engine a component needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EngineKind {
    /// No component-model async in the component: concurrency support is off.
    Sync,
    /// Async functions, streams or futures.
    Async,
}

impl EngineKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Sync, Self::Async];

    /// The first part of an engine id.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }

    /// The kind that an engine id names, if this build of the platform made it.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| engine_id(*kind) == id)
    }
}

/// The part of the configuration that does not change compiled code.
#[derive(Debug, Clone, Copy)]
pub struct EngineConfig {
    /// Linear memories at once, and stacks; each engine has its own pool. Reserves 4 GiB of address space apiece.
    pub slots: u32,
    /// The operator's ceiling of one linear memory, bytes. At most 4 GiB.
    pub memory_bytes_max: usize,
    /// Elements of one table.
    pub table_elements_max: usize,
    /// Bytes of a returned memory slot that are kept and cleared instead of given back to the kernel.
    pub memory_keep_resident_bytes: usize,
    /// The same for a table slot.
    pub table_keep_resident_bytes: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            slots: 1_000,
            memory_bytes_max: 512 << 20,
            table_elements_max: 100_000,
            memory_keep_resident_bytes: 1 << 20,
            table_keep_resident_bytes: 64 << 10,
        }
    }
}

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the {} engine with {slots} slots (address space, or `vm.max_map_count`): {source:#}", kind.as_str())]
pub struct Error {
    kind: EngineKind,
    slots: u32,
    source: wasmtime::Error,
}

/// An engine that runs components.
///
/// # Errors
/// When the pool's address space cannot be reserved.
pub fn engine(kind: EngineKind, config: &EngineConfig) -> Result<Engine, Error> {
    let mut settings = base(kind);
    settings.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config)));
    Engine::new(&settings).map_err(|source| Error { kind, slots: config.slots, source })
}

/// An engine that only compiles: no pool, so it fits into a child with little address space.
pub(crate) fn compiler(kind: EngineKind) -> Result<Engine, Error> {
    Engine::new(&base(kind)).map_err(|source| Error { kind, slots: 0, source })
}

/// Names the kind and everything that compiled code depends on: wasmtime's version, its flags, the processor's
/// features. A component compiled under another id cannot be loaded and is compiled again.
pub fn engine_id(kind: EngineKind) -> String {
    static IDS: OnceLock<[String; 2]> = OnceLock::new();
    let [sync, concurrent] = IDS.get_or_init(|| EngineKind::ALL.map(make_id));
    match kind {
        EngineKind::Sync => sync.clone(),
        EngineKind::Async => concurrent.clone(),
    }
}

fn make_id(kind: EngineKind) -> String {
    let mut hasher = DefaultHasher::new();
    match compiler(kind) {
        Ok(engine) => engine.precompile_compatibility_hash().hash(&mut hasher),
        // An engine that cannot be made loads nothing; the error shows where one is needed.
        Err(_) => return format!("{}-none", kind.as_str()),
    }
    format!("{}-{:016x}", kind.as_str(), hasher.finish())
}

/// Every setting that compiled code depends on, and those that hold for compiler and runtime alike.
fn base(kind: EngineKind) -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(kind == EngineKind::Async)
        .epoch_interruption(true)
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        .memory_may_move(false)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES_MAX))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .generate_address_map(true)
        // A 64-bit memory is bounds-checked on each access and outgrows its slot: nothing here needs one.
        .wasm_memory64(false);
    if kind == EngineKind::Async {
        config.wasm_component_model_async(true);
    }
    config
}

fn pool(config: &EngineConfig) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(config.slots)
        .total_memories(config.slots)
        .total_stacks(config.slots)
        // A component made by `wit-component` has a main module, an adapter and two small shims.
        .total_core_instances(config.slots.saturating_mul(4))
        .total_tables(config.slots.saturating_mul(2))
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_memory_size(config.memory_bytes_max)
        .table_elements(config.table_elements_max)
        .linear_memory_keep_resident(config.memory_keep_resident_bytes)
        .table_keep_resident(config.table_keep_resident_bytes)
        .pagemap_scan(Enabled::Auto);
    pool
}
