//! Store records over `/v1/store` (STO-01, STO-11).

use serde::{Deserialize, Serialize};

/// One record; `value` is base64 in JSON, `expiry_ms` the time left (absent: never).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Record {
    pub key: String,
    /// Base64, standard alphabet, padded.
    pub value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry_ms: Option<i64>,
}

/// `POST /v1/store/{table}/read` and `/list`. An absent `key` with `prefix` or `suffix` scans.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Query {
    #[serde(default)]
    pub key: String,
    /// `key` is a prefix.
    #[serde(default)]
    pub prefix: bool,
    /// `key` is a suffix.
    #[serde(default)]
    pub suffix: bool,
    /// 0: no limit.
    #[serde(default)]
    pub limit: u64,
    #[serde(default)]
    pub offset: u64,
}

/// `POST /v1/store/{table}/write`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Write {
    pub key: String,
    /// Base64.
    pub value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
}
