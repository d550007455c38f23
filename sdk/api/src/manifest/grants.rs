//! From a component's imports to the lines of `micro.toml` that grant them.

use super::{Grants, Manifest};

/// Imports that a grant decides, by interface name, with the line that grants each.
const GRANTED: &[(&str, &str)] = &[
    ("blob", "blob = true"),
    ("broker", "broker = { publish = [\"*\"] }"),
    ("client", "call = [\"*\"]"),
    ("config", "config = [\"own\"]"),
    ("locks", "sync = true"),
    ("events", "events = { publish = [\"*\"], consume = [\"*\"] }"),
    ("registry", "registry = \"read\""),
    ("store", "store = [\"own\"]"),
];

/// The interface of an import of ours: `store` of `micro:platform/store@0.1.0`, of either package.
fn interface(import: &str) -> Option<&str> {
    if import.starts_with("wasi:config/") {
        return Some("config");
    }
    if import.starts_with("wasi:blobstore/") {
        return Some("blob");
    }
    if import.starts_with("wasi:keyvalue/") {
        return Some("store");
    }
    let rest =
        import.strip_prefix("micro:platform/").or_else(|| import.strip_prefix("micro:platform-sync/"))?;
    Some(rest.split_once('@').map_or(rest, |(name, _)| name))
}

/// The lines of `micro.toml` that would grant `import` (`micro:platform/store@0.1.0`): a section head and a key. None
/// when no line could: the import is always there (types, log, most of `wasi:`), or nobody offers it.
pub fn grant_line(import: &str) -> Option<String> {
    let name = interface(import)?;
    let (_, line) = GRANTED.iter().find(|(interface, _)| *interface == name)?;
    Some(format!("[grants]\n{line}"))
}

impl Manifest {
    /// As the function of the same name: which lines of this file would grant `import`. None also when it is granted
    /// already.
    pub fn grant_line(&self, import: &str) -> Option<String> {
        if self.grants.allow(import) { None } else { grant_line(import) }
    }
}

impl Grants {
    /// Whether a component with these grants may import `import`. True for what needs no grant; it says nothing of
    /// whether the platform offers the import at all.
    pub fn allow(&self, import: &str) -> bool {
        match interface(import) {
            Some("blob") => self.blob,
            Some("broker") => !self.broker.publish.is_empty(),
            Some("config") => !self.config.is_empty(),
            Some("locks") => self.sync,
            Some("events") => !(self.events.publish.is_empty() && self.events.consume.is_empty()),
            Some("store") => !self.store.is_empty(),
            Some("registry") => self.registry.is_some(),
            Some("client") => !self.call.is_empty(),
            _ => true,
        }
    }
}
