//! Configuration of a namespace over `/v1/config` (CFG-01 to CFG-04): one JSON document of dotted paths, its history,
//! and secrets beside it. Values of secrets stand in no record but [`SetValue`] and [`Secret`].

mod document;
#[cfg(test)]
mod model;
mod path;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::document::{
    DOCUMENT_BYTES_MAX, Document, Fault, VALUE_BYTES_MAX, check_keys, differences, find, flat, mask, merge,
    remove, set, shown, without,
};
pub use self::path::{PATH_BYTES_MAX, PATH_PARTS_MAX, Path, PathError};

/// What stands in place of a secret.
pub const MASK: &str = "[secret]";

/// `GET /v1/config?path=`: a value with its path. Secrets in it are [`MASK`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Entry {
    /// Dotted; empty: the whole document.
    pub path: String,
    pub value: Value,
    /// The path is a secret's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// `POST /v1/config/set`.
#[derive(Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SetValue {
    /// Dotted, at most 256 bytes and 16 parts.
    pub path: String,
    /// At most 64 KiB of JSON. Objects are merged into what is there, anything else takes its place. Of a secret: text.
    pub value: Value,
    /// Keep it sealed, beside the document.
    #[serde(default)]
    pub secret: bool,
}

impl std::fmt::Debug for SetValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may be a secret.
        f.debug_struct("SetValue").field("path", &self.path).finish_non_exhaustive()
    }
}

/// `POST /v1/config/delete`, `POST /v1/config/secret`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AtPath {
    pub path: String,
}

/// `POST /v1/config/secret`: the text of one secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Secret {
    pub value: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One version of a namespace's configuration: what `GET /v1/config/history` lists, newest first, and what each write
/// answers (CFG-04).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Change {
    /// Grows with each write; never given twice in a namespace.
    pub version: i64,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// Name of who wrote.
    pub by: String,
    /// `set`, `delete`, `secret.set`, `secret.delete`, `restore` or `clone`.
    pub action: String,
    /// What was written; empty: all of it.
    pub path: String,
    /// SHA-256 of the document after it, in hex. Secrets are no part of it.
    pub sha256: String,
}

/// `GET /v1/config/diff?from=&to=`: a path whose value differs between two versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Difference {
    pub path: String,
    /// Absent: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Absent: there is none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// `POST /v1/config/restore`: makes the document of a version the current one, as a new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Restore {
    pub version: i64,
}

/// `POST /v1/config/clone`: makes the document of this namespace that of another one of the same person's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CloneTo {
    pub namespace: String,
    /// Secrets too; for an owner of both.
    #[serde(default)]
    pub with_secrets: bool,
}
