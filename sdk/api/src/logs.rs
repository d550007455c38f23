//! Log records: `GET /v1/services/{name}/logs`, one JSON object a line (RUN-09).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One line of a service's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LogRecord {
    /// Unix milliseconds.
    pub timestamp: i64,
    /// `level`, `version`, `stream` (stdout, stderr, log, platform, build), `request` and what the guest added.
    pub metadata: BTreeMap<String, String>,
    pub message: String,
}
