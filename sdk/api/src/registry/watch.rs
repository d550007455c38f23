//! What changes in the registry (REG-05), for those who follow it.

use serde::{Deserialize, Serialize};

use super::Service;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// All that is there follows, a `create` each, up to a `ready`.
    Reset,
    /// A version is there.
    Create,
    /// It is another one than before: other nodes, endpoints or metadata.
    Update,
    /// It is gone.
    Delete,
    /// All that was there has been told. What did not come since the `reset` is gone. Also comes while nothing changes.
    Ready,
}

/// A line of `GET /v1/registry/watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Change {
    pub action: Action,
    /// Where to go on after this line, as `after`.
    pub revision: String,
    /// When it happened, Unix milliseconds.
    pub timestamp: i64,
    /// One version, for `create`, `update` and `delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
}

/// Some changes at once, as the platform finds them: up to 256 and about 1 MiB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// A list of all that is there begins, as [`Action::Reset`].
    pub reset: bool,
    /// No such list is under way, or it ends with these changes, as [`Action::Ready`].
    pub ready: bool,
    /// Where to go on after all of them.
    pub revision: String,
    /// Each with its service.
    pub changes: Vec<Change>,
}
