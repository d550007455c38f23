//! `micro.toml`: what a service says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::ServiceType;

/// The whole file. Every key is optional; an unknown key is an error that suggests the near one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Manifest {
    pub service: Service,
    pub build: Build,
    pub run: Run,
    pub limits: Limits,
    pub grants: Grants,
    /// Routes of the `meta` handler (GW-14).
    pub route: Vec<Route>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    pub name: Option<String>,
    pub r#type: Option<ServiceType>,
    pub version: Option<String>,
    pub description: Option<String>,
    /// No account is needed to call it. Has no effect until the platform has accounts.
    pub public: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Build {
    /// `rust` or `component`; detected when absent.
    pub lang: Option<String>,
    /// A shell command, run in the sandbox without network, that makes `path`.
    pub command: Option<String>,
    /// The component, relative to this file.
    pub path: Option<String>,
    pub features: Vec<String>,
    /// Run the service's tests in the sandbox before it is published.
    pub test: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    pub reuse: Reuse,
    pub env: BTreeMap<String, String>,
    pub args: Vec<String>,
}

/// How long an instance lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reuse {
    /// One instance a call.
    #[default]
    Fresh,
    /// One call at a time; retired after a trap, a timeout, 1 000 calls, 10 s idle or 10 min.
    Sequential,
    /// Several calls at once in one instance.
    Concurrent,
}

/// What a service lowers below the platform's defaults. Sizes are strings such as `"128MiB"`, times such as `"5s"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub memory: Option<String>,
    pub cpu: Option<String>,
    pub wall: Option<String>,
    pub request: Option<String>,
    pub response: Option<String>,
    /// Outbound HTTP calls at once.
    pub outbound: Option<u32>,
}

/// What the service may import; deny by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// `["own"]`: its own table.
    pub store: Vec<String>,
    /// `"read"`.
    pub registry: Option<String>,
    /// Services it may call; `*` is all of its namespace.
    pub call: Vec<String>,
    /// Outbound hosts, `host:port` or `host` (443).
    pub http: Vec<String>,
}

/// GW-14.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    pub endpoint: String,
    pub description: Option<String>,
    /// `rpc`, `api` or `http`.
    pub handler: Option<String>,
    /// Absent: every method.
    pub method: Vec<String>,
    /// A POSIX regular expression when wrapped in `^` and `$`, else a google.api.http template.
    pub path: Vec<String>,
    pub host: Vec<String>,
    pub body: Option<String>,
    pub stream: bool,
}
