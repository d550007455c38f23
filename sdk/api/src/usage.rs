//! Plans, limits, usage and what it costs.

use serde::{Deserialize, Serialize};

/// Where a namespace stands. `GET /v1/limits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Limits {
    pub namespace: String,
    pub plan: String,
    pub limits: Vec<Limit>,
}

/// One limit of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Limit {
    /// `services`, `instances`, `memory`, `cpu_seconds`, `requests_per_second`, `requests_per_month`, `store_bytes`,
    /// `blob_bytes`, `event_bytes`, `egress_bytes`, `build_minutes`, `log_days`, `event_days`, `members`.
    pub name: String,
    pub used: i64,
    /// `None`: not limited.
    pub max: Option<i64>,
    /// `count`, `bytes`, `seconds`, `minutes`, `per second`, `days`.
    pub unit: String,
    /// When `used` starts again from 0, Unix milliseconds; `None`: never.
    pub resets_ms: Option<i64>,
    /// What happens at the end, for people.
    pub at_end: String,
}

/// What a service used in a day (UTC). `GET /v1/usage?days=`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Usage {
    /// `2026-11-26`.
    pub day: String,
    pub service: String,
    /// Requests that were admitted.
    pub requests: i64,
    pub cpu_ms: i64,
    /// MiB × seconds of instances.
    pub memory_mib_seconds: i64,
    pub egress_bytes: i64,
    /// At the day's end, or now.
    pub store_bytes: i64,
    pub build_seconds: i64,
}

/// An entry of the ledger, or a line of the preview of the next invoice. `GET /v1/billing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LedgerEntry {
    pub id: String,
    pub at_ms: i64,
    pub description: String,
    /// Thousandths of a cent, so that small usage adds up.
    pub amount_millicents: i64,
    pub currency: String,
}

/// `GET /v1/billing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Billing {
    pub provider: String,
    pub plan: String,
    pub entries: Vec<LedgerEntry>,
    /// What the running month would cost if it ended now.
    pub preview: Vec<LedgerEntry>,
}
