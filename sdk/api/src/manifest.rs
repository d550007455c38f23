//! `micro.toml`: what a service says of itself.
//!
//! [`parse`] is the only way from text to a [`Manifest`]: it refuses unknown keys and impossible values with the line
//! and column. The JSON Schema of the file is `micro.schema.json` beside this crate's `Cargo.toml`.

mod attributes;
mod config;
mod consume;
mod grants;
mod parse;
mod schedule;
mod subscribe;
#[cfg(test)]
mod tests;
mod topics;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::attributes::with_attributes;
pub use self::config::SECRET as SECRET_GRANT;
pub use self::consume::{Consume, EventsGrants};
pub use self::grants::grant_line;
pub use self::parse::{FILE_BYTES_MAX, ManifestError, parse};
pub use self::schedule::{Missed, NAME_BYTES_MAX as SCHEDULE_NAME_BYTES_MAX, Overlap, Schedule};
pub use self::subscribe::{BrokerGrants, Subscribe};
use crate::name::ServiceType;
use crate::quantity;

/// The file's name, in the folder of the service.
pub const FILE_NAME: &str = "micro.toml";

/// The whole file. Every key is optional; an unknown key is an error that suggests the near one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Manifest {
    pub service: Service,
    pub build: Build,
    pub run: Run,
    pub limits: Limits,
    pub grants: Grants,
    /// Routes of the `meta` handler.
    pub route: Vec<Route>,
    /// Times at which an endpoint is called, or the job is started.
    pub schedule: Vec<Schedule>,
    /// Topics whose messages call an endpoint.
    pub subscribe: Vec<Subscribe>,
    /// Topics of events that call an endpoint, in order.
    pub consume: Vec<Consume>,
    /// Values that the service reads where its namespace's configuration has none. At most 16 keys deep.
    pub config: crate::config::Document,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// Letters and digits, joined by single hyphens or dots; the folder's name when absent.
    pub name: Option<String>,
    pub r#type: Option<ServiceType>,
    /// The version label; `latest` when absent.
    pub version: Option<String>,
    pub description: Option<String>,
    /// No account is needed to call it: a rule `public-<service>` says so while this stands here.
    pub public: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Build {
    /// `rust` or `component`; detected when absent.
    #[schemars(extend("enum" = ["rust", "component", null]))]
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
    /// Environment variables of the service.
    pub env: BTreeMap<String, String>,
    /// Arguments of a job.
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
    /// All linear memories of one instance together, such as `"128MiB"`.
    pub memory: Option<String>,
    /// CPU time of one call, such as `"1s"`.
    pub cpu: Option<String>,
    /// Time of one call, waiting included, such as `"5s"`.
    pub wall: Option<String>,
    /// Largest request body, such as `"4MiB"`.
    pub request: Option<String>,
    /// Largest response body, such as `"4MiB"`.
    pub response: Option<String>,
    /// Outbound HTTP calls at once.
    pub outbound: Option<u32>,
}

/// What the service may import; deny by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// Its own blobs.
    pub blob: bool,
    /// Topics that it may publish to.
    pub broker: BrokerGrants,
    /// Topics of events that it may publish to and read.
    pub events: EventsGrants,
    /// `["own"]`: its own table.
    pub store: Vec<String>,
    /// `"read"`.
    #[schemars(extend("enum" = ["read", null]))]
    pub registry: Option<String>,
    /// Services it may call; `*` is all of its namespace.
    pub call: Vec<String>,
    /// `own`: the namespace's configuration below the service's name; `*`: all of it; `secret:PATH`: one secret.
    pub config: Vec<String>,
    /// `true`: its own locks and elections.
    pub sync: bool,
    /// Outbound hosts, `host:port` or `host` (443).
    pub http: Vec<String>,
}

/// One route of the HTTP gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// `Service.Method`; required.
    pub endpoint: String,
    pub description: Option<String>,
    /// `rpc`, `api` or `http`.
    #[schemars(extend("enum" = ["rpc", "api", "http", null]))]
    pub handler: Option<String>,
    /// Absent: every method.
    pub method: Vec<String>,
    /// A POSIX regular expression when wrapped in `^` and `$`, else a google.api.http template.
    pub path: Vec<String>,
    pub host: Vec<String>,
    pub body: Option<String>,
    pub stream: bool,
}

/// Values of a parsed manifest are valid, so each accessor is none only where the key is absent.
impl Limits {
    /// Bytes of linear memory an instance may have.
    pub fn memory_bytes(&self) -> Option<u64> {
        size(&self.memory)
    }

    /// CPU time of one call.
    pub fn cpu(&self) -> Option<Duration> {
        duration(&self.cpu)
    }

    /// Wall time of one call.
    pub fn wall(&self) -> Option<Duration> {
        duration(&self.wall)
    }

    /// Largest request body in bytes.
    pub fn request_bytes(&self) -> Option<u64> {
        size(&self.request)
    }

    /// Largest response body in bytes.
    pub fn response_bytes(&self) -> Option<u64> {
        size(&self.response)
    }
}

fn size(text: &Option<String>) -> Option<u64> {
    quantity::size(text.as_deref()?).ok()
}

fn duration(text: &Option<String>) -> Option<Duration> {
    quantity::duration(text.as_deref()?).ok()
}
