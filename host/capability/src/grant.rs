//! Grants: what `micro.toml` opened, checked when a revision is configured and not at its first request.

use micro_api::manifest::Grants;
use micro_api::name::ServiceName;

use crate::broker::Topics;
use crate::http::AllowedHosts;

/// A line of `[grants]` that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key} = {value:?}` in [grants] is not understood: {hint}")]
pub struct GrantError {
    /// The key below `[grants]`.
    pub key: &'static str,
    /// The value that was found.
    pub value: String,
    /// What it may be.
    pub hint: &'static str,
}

/// Which `micro:*` interfaces are linked. Small and comparable, so that one linker serves every revision with the same
/// set. `log` and `types` are always there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Granted {
    /// The service's own blobs. `wasi:blobstore` too.
    pub blob: bool,
    /// Publishing; to which topics is checked at each call.
    pub broker: bool,
    /// The service's own table.
    pub store: bool,
    /// Calls to other services; which ones is checked at each call.
    pub client: bool,
    /// Configuration and secrets; which is checked at each read. `wasi:config` too.
    pub config: bool,
    /// Events; of which topics is checked at each call.
    pub events: bool,
    /// Reading the registry.
    pub registry: bool,
    /// The service's own locks.
    pub sync: bool,
}

impl Granted {
    /// What the manifest's `[grants]` link.
    ///
    /// # Errors
    /// A value that no capability understands.
    pub fn new(grants: &Grants) -> Result<Self, GrantError> {
        for value in &grants.store {
            if value != "own" {
                return Err(GrantError { key: "store", value: value.clone(), hint: "use [\"own\"]" });
            }
        }
        if let Some(value) = grants.registry.as_deref().filter(|value| *value != "read") {
            return Err(GrantError { key: "registry", value: value.to_owned(), hint: "use \"read\"" });
        }
        Ok(Self {
            blob: grants.blob,
            broker: !grants.broker.publish.is_empty(),
            store: !grants.store.is_empty(),
            client: !grants.call.is_empty(),
            config: !grants.config.is_empty(),
            events: !(grants.events.publish.is_empty() && grants.events.consume.is_empty()),
            registry: grants.registry.is_some(),
            sync: grants.sync,
        })
    }
}

/// All grants of a revision, parsed.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) granted: Granted,
    pub(crate) publish: Topics,
    pub(crate) events: EventRules,
    pub(crate) call: Callees,
    pub(crate) http: AllowedHosts,
}

impl Rules {
    pub(crate) fn new(grants: &Grants) -> Result<Self, GrantError> {
        Ok(Self {
            granted: Granted::new(grants)?,
            publish: Topics::new("broker", &grants.broker.publish)?,
            events: EventRules {
                publish: Topics::new("events", &grants.events.publish)?,
                consume: Topics::new("events", &grants.events.consume)?,
            },
            call: Callees::new(&grants.call)?,
            http: AllowedHosts::new(&grants.http)?,
        })
    }
}

/// The topics of events that may be used.
#[derive(Debug, Clone)]
pub(crate) struct EventRules {
    pub(crate) publish: Topics,
    pub(crate) consume: Topics,
}

/// The services that may be called.
#[derive(Debug, Clone)]
pub(crate) enum Callees {
    All,
    Named(Vec<ServiceName>),
}

impl Callees {
    fn new(call: &[String]) -> Result<Self, GrantError> {
        if call.iter().any(|name| name == "*") {
            return Ok(Self::All);
        }
        let parse = |name: &String| {
            name.parse().map_err(|_| GrantError {
                key: "call",
                value: name.clone(),
                hint: "use names of services of this namespace, or \"*\"",
            })
        };
        call.iter().map(parse).collect::<Result<_, _>>().map(Self::Named)
    }

    pub(crate) fn allow(&self, service: &ServiceName) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(service),
        }
    }
}
