//! Health and statistics of a service's node entries (DBG-02, DBG-03).

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NodeHealth {
    pub service: String,
    pub version: String,
    pub node: String,
    pub address: String,
    /// `ok`, or what is wrong.
    pub status: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NodeStats {
    pub service: String,
    pub version: String,
    pub node: String,
    pub address: String,
    pub started_ms: i64,
    pub uptime_ms: i64,
    /// Linear memory of live instances, bytes.
    pub memory: u64,
    /// Live instances.
    pub threads: u64,
    /// Garbage collection of the host: always 0, kept for Micro's shape. Nanoseconds.
    pub gc: u64,
    pub requests: u64,
    pub errors: u64,
    /// CPU time spent in guest code, milliseconds.
    pub cpu_ms: u64,
    pub p50_us: u64,
    pub p99_us: u64,
}
