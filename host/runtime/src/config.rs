//! What the operator sets.

use std::time::Duration;

use micro_engine::EngineConfig;

/// Limits of a node and the defaults of a service. A manifest lowers a service's limits, never raises them.
#[derive(Debug, Clone)]
pub struct Config {
    /// Pools of the two engines.
    pub engine: EngineConfig,
    /// Guest memory of the whole node, bytes; `None`: half of the machine's, or of its control group's.
    pub memory_budget_bytes: Option<u64>,
    /// Instances of one service at once.
    pub instances_per_service: usize,
    /// Calls that wait for an instance of one service.
    pub queue_per_service: usize,
    /// Calls that wait on the whole node.
    pub queue_per_node: usize,
    /// Components that are loaded at once.
    pub loaded_max: usize,
    /// A component that nobody called for so long is unloaded.
    pub unload_after: Duration,
    /// Calls at once in one instance of `reuse = "concurrent"`.
    pub concurrent_calls: usize,
    /// A reused instance ends after so many calls, …
    pub reuse_calls: u32,
    /// … or after it was idle for so long, …
    pub reuse_idle: Duration,
    /// … or at this age.
    pub reuse_age: Duration,
    /// A call that used more CPU time moves to the slow threads.
    pub front_cpu: Duration,
    /// For so long after that, calls of the same service start on the slow threads.
    pub slow_sticky: Duration,
    /// Slow threads; `None`: one less than the machine has cores, at least one.
    pub slow_threads: Option<usize>,
    /// Defaults and ceilings of a service.
    pub service: ServiceLimits,
}

/// Limits of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceLimits {
    /// Linear memory of one instance, all its memories together, bytes.
    pub memory_bytes: usize,
    /// Elements of one instance's tables together.
    pub table_elements: usize,
    /// CPU time of one call.
    pub cpu: Duration,
    /// An RPC in all; an HTTP call to the head of its answer.
    pub wall: Duration,
    /// Without progress of an HTTP body, or without a message of a stream in either direction.
    pub http_idle: Duration,
    /// An HTTP call in all, or a call that streams.
    pub http_total: Duration,
    /// Bytes of a request, or of each message of a stream.
    pub request_bytes: u64,
    /// Bytes of an answer, or of each message of a stream.
    pub response_bytes: u64,
    /// A job in all.
    pub job_wall: Duration,
    /// Share of one core that a job may use, in thousandths.
    pub job_cpu_permille: u32,
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 128 << 20,
            table_elements: 100_000,
            cpu: Duration::from_secs(1),
            wall: Duration::from_secs(5),
            http_idle: Duration::from_secs(30),
            http_total: Duration::from_secs(300),
            request_bytes: 10 << 20,
            response_bytes: 10 << 20,
            job_wall: Duration::from_secs(3600),
            job_cpu_permille: 500,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: EngineConfig::default(),
            memory_budget_bytes: None,
            instances_per_service: 32,
            queue_per_service: 1_024,
            queue_per_node: 16_384,
            loaded_max: 2_000,
            unload_after: Duration::from_secs(60),
            concurrent_calls: 16,
            reuse_calls: 1_000,
            reuse_idle: Duration::from_secs(10),
            reuse_age: Duration::from_secs(600),
            front_cpu: Duration::from_millis(2),
            slow_sticky: Duration::from_secs(1),
            slow_threads: None,
            service: ServiceLimits::default(),
        }
    }
}

impl Config {
    pub(crate) fn slow_threads(&self) -> usize {
        self.slow_threads.unwrap_or_else(|| cores().saturating_sub(1)).max(1)
    }

    /// Bytes that guests may hold together: the budget without what the pools keep resident for themselves.
    pub(crate) fn guest_memory_bytes(&self) -> u64 {
        let total = self.memory_budget_bytes.unwrap_or_else(|| machine_memory_bytes() / 2);
        let kept = u64::from(self.engine.slots) * self.engine.memory_keep_resident_bytes as u64;
        total.saturating_sub(kept).max(total / 2)
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The memory that this process may use: the smallest of the machine's and its control groups'.
fn machine_memory_bytes() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group =
        groups.iter().filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()).min();
    machine.into_iter().chain(group).min().unwrap_or(2 << 30)
}
