//! Registry records (REG-01…03), the same shape as Micro v2's `registry.Service`.

mod address;
mod check;
mod watch;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use address::Address;
pub use watch::{Action, Change, Changes};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Service {
    pub name: String,
    pub version: String,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    #[serde(default)]
    pub nodes: Vec<Node>,
}

/// A node entry: one revision on one host process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Node {
    /// `<service>-<uuid>`.
    pub id: String,
    pub address: String,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// `Type.Method` with its messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Endpoint {
    pub name: String,
    pub request: Value,
    pub response: Value,
    /// What it says of itself. `subscriber` is `true` where topics call it, and `topic` names these, joined by commas.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

impl Service {
    /// The topics that its endpoints are called for, sorted: those of messages and those of events.
    pub fn topics(&self) -> Vec<&str> {
        let subscribers = self.endpoints.iter().filter(|one| one.metadata.contains_key("subscriber"));
        let topics = subscribers.filter_map(|one| one.metadata.get("topic"));
        let mut topics: Vec<_> =
            topics.flat_map(|topics| topics.split(',')).filter(|topic| !topic.is_empty()).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}

/// A message or field: nested at most 3 deep, names in snake_case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Value {
    pub name: String,
    pub r#type: String,
    #[serde(default)]
    pub values: Vec<Value>,
}

/// What `micro register service` sends (REG-04, CLI-13): a service that runs elsewhere, which the platform then finds and
/// calls like its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Registration {
    /// As `micro call` names it.
    pub name: String,
    /// `latest` when empty.
    pub version: String,
    /// Of the version: up to 64 entries and 8 KiB.
    pub metadata: BTreeMap<String, String>,
    /// None: every endpoint may be called; up to 256.
    pub endpoints: Vec<Endpoint>,
    /// 1 to 16; nodes registered before stay.
    pub nodes: Vec<ExternalNode>,
    pub options: RegistrationOptions,
}

/// A node of a service that runs elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExternalNode {
    /// `<service>-<address>` when empty.
    pub id: String,
    /// `host:port`, `host` with `port` beside it, or `https://host[:port]`.
    pub address: String,
    /// 0: it stands in the address.
    pub port: u16,
    pub metadata: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrationOptions {
    /// Seconds after which the nodes are gone unless they are registered again; 0: they stay. At most a day.
    pub ttl: u32,
}

/// What `micro deregister service` sends: which nodes are gone; all of the version when none is named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Deregistration {
    pub name: String,
    /// `latest` when empty.
    pub version: String,
    /// Ids of nodes.
    pub nodes: Vec<String>,
}
