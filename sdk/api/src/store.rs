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

/// Most records of one [`Import`].
pub const IMPORT_RECORDS_MAX: usize = 1_000;

/// A record on its way out or in. Its expiry is a time and no rest, so that it stays true on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    pub key: String,
    /// Base64, standard alphabet, padded.
    pub value: String,
    /// When it ends, Unix milliseconds; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

/// `POST /v1/store/{table}/export`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Export {
    /// The last key of the page before; absent: the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A page of a table, in key order: up to 1 000 records and 1 MiB of keys and values, at least one record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Page {
    pub records: Vec<Kept>,
    /// Whether there is another page.
    pub more: bool,
}

/// `POST /v1/store/{table}/import`: up to [`IMPORT_RECORDS_MAX`] records. Sending the same ones twice changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// What all requests of one import have in common, chosen by the client: 1 to 64 letters, digits and `-`. The audit
    /// log has one line for each.
    pub id: String,
    /// Write over what is there; absent: keys that exist are kept as they are.
    #[serde(default)]
    pub replace: bool,
    pub records: Vec<Kept>,
}

/// What became of the records of an [`Import`]; their sum is the number of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Imported {
    pub written: u64,
    /// Not written, because the key was there.
    pub kept: u64,
    /// Not written, because their time was over.
    pub expired: u64,
}
