//! From what somebody registers to the record that is kept.

use std::collections::BTreeMap;

use super::{Address, Deregistration, ExternalNode, Node, Registration, Service};
use crate::name::ServiceName;

const VERSION: &str = "latest";
const NODES_MAX: usize = 16;
const ENDPOINTS_MAX: usize = 256;
const ENDPOINTS_BYTES_MAX: usize = 64 << 10;
const METADATA_MAX: usize = 64;
const METADATA_BYTES_MAX: usize = 8 << 10;
const ID_BYTES_MAX: usize = 256;
/// Longest time to live, seconds.
const TTL_MAX: u32 = 24 * 60 * 60;

impl Registration {
    /// The record, with every name and address in its one form, and the time to live in milliseconds; none: for ever.
    ///
    /// # Errors
    /// What is wrong and what to write instead, for the caller.
    pub fn check(self) -> Result<(Service, Option<i64>), String> {
        let name = name(&self.name)?;
        let version = version(self.version)?;
        if self.nodes.is_empty() || self.nodes.len() > NODES_MAX {
            let example = r#"{"address": "host:port"}"#;
            return Err(format!(
                "a registration has 1 to {NODES_MAX} nodes: add `nodes` with one such as {example}"
            ));
        }
        if self.options.ttl > TTL_MAX {
            return Err(format!("`ttl` is at most {TTL_MAX} seconds; 0 is for ever"));
        }
        metadata(&self.metadata)?;
        let bytes = serde_json::to_vec(&self.endpoints).map_or(usize::MAX, |json| json.len());
        if self.endpoints.len() > ENDPOINTS_MAX || bytes > ENDPOINTS_BYTES_MAX {
            return Err(format!(
                "a registration has at most {ENDPOINTS_MAX} endpoints, of {ENDPOINTS_BYTES_MAX} bytes together"
            ));
        }
        if let Some(wrong) = self.endpoints.iter().find(|endpoint| !is_endpoint(&endpoint.name)) {
            return Err(format!("`{}` is no endpoint: use `Service.Method`", wrong.name));
        }
        let nodes = self.nodes.into_iter().map(|one| node(&name, one)).collect::<Result<Vec<_>, _>>()?;
        let ids: std::collections::BTreeSet<_> = nodes.iter().map(|node| node.id.as_str()).collect();
        if ids.len() < nodes.len() {
            return Err("two nodes have the same id".to_owned());
        }
        let ttl = (self.options.ttl > 0).then(|| i64::from(self.options.ttl) * 1_000);
        let (metadata, endpoints) = (self.metadata, self.endpoints);
        Ok((Service { name: name.to_string(), version, metadata, endpoints, nodes }, ttl))
    }
}

impl Deregistration {
    /// Name, version and nodes, in their one form.
    ///
    /// # Errors
    /// As [`Registration::check`].
    pub fn check(self) -> Result<(ServiceName, String, Vec<String>), String> {
        if self.nodes.len() > NODES_MAX {
            return Err(format!("at most {NODES_MAX} nodes at once"));
        }
        Ok((name(&self.name)?, version(self.version)?, self.nodes))
    }
}

fn name(text: &str) -> Result<ServiceName, String> {
    text.parse().map_err(|error: crate::name::NameError| error.to_string())
}

fn version(text: String) -> Result<String, String> {
    if text.is_empty() {
        return Ok(VERSION.to_owned());
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+/".contains(&byte);
    if text.len() <= 128 && !text.starts_with('-') && text.bytes().all(allowed) {
        return Ok(text);
    }
    Err(format!("`{text}` is not a version: use letters, digits, `.`, `_`, `-`, `+` and `/`"))
}

fn node(service: &ServiceName, node: ExternalNode) -> Result<Node, String> {
    let text = match node.port {
        0 => node.address,
        // Micro wrote the port beside the address, and sometimes in both.
        port if node.address.ends_with(&format!(":{port}")) => node.address,
        port => format!("{}:{port}", node.address),
    };
    let address: Address = text.parse()?;
    let id = if node.id.is_empty() { format!("{service}-{address}") } else { node.id };
    if id.len() > ID_BYTES_MAX || id.chars().any(char::is_control) {
        return Err(format!("the id of a node has at most {ID_BYTES_MAX} bytes and no control characters"));
    }
    metadata(&node.metadata)?;
    Ok(Node { id, address: address.to_string(), metadata: node.metadata })
}

fn metadata(metadata: &BTreeMap<String, String>) -> Result<(), String> {
    let bytes: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    let controls = metadata.iter().any(|(key, value)| key.chars().chain(value.chars()).any(char::is_control));
    if metadata.len() > METADATA_MAX || bytes > METADATA_BYTES_MAX || controls {
        return Err(format!(
            "metadata has at most {METADATA_MAX} entries, {METADATA_BYTES_MAX} bytes and no control characters"
        ));
    }
    Ok(())
}

fn is_endpoint(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    name.len() <= 256 && name.contains('.') && name.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(json: &str) -> Result<(Service, Option<i64>), String> {
        serde_json::from_str::<Registration>(json).map_err(|error| error.to_string())?.check()
    }

    #[test]
    fn micros_own_definition_is_understood() {
        let (service, ttl) = registration(
            r#"{"name": "go.micro.srv.legacy", "version": "v1", "options": {"ttl": 30}, "nodes": [
                {"id": "legacy-1", "address": "10.0.0.1", "port": 8080}, {"address": "10.0.0.2:8080", "port": 8080},
                {"address": "https://legacy.example.com"}]}"#,
        )
        .unwrap();
        assert_eq!((service.name.as_str(), service.version.as_str(), ttl), ("legacy", "v1", Some(30_000)));
        let nodes: Vec<_> =
            service.nodes.iter().map(|node| (node.id.as_str(), node.address.as_str())).collect();
        assert_eq!(
            nodes,
            [
                ("legacy-1", "10.0.0.1:8080"),
                ("legacy-10.0.0.2:8080", "10.0.0.2:8080"),
                ("legacy-https://legacy.example.com:443", "https://legacy.example.com:443"),
            ]
        );
        let (plain, ttl) = registration(r#"{"name": "x", "nodes": [{"address": "a:1"}]}"#).unwrap();
        assert_eq!((plain.version.as_str(), ttl), ("latest", None));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (json, said) in [
            (r#"{"nodes": [{"address": "a:1"}]}"#, "name"),
            (r#"{"name": "x"}"#, "1 to 16 nodes"),
            (r#"{"name": "x", "nodes": [{"address": "a"}]}"#, "no port"),
            (r#"{"name": "x", "nodes": [{"address": "a:1"}, {"address": "a:1"}]}"#, "same id"),
            (r#"{"name": "x", "nodes": [{"address": "a:1"}], "options": {"ttl": 100000}}"#, "at most 86400"),
            (r#"{"name": "x", "version": "a b", "nodes": [{"address": "a:1"}]}"#, "not a version"),
            (r#"{"name": "x", "nodes": [{"address": "a:1"}], "ttl": 3}"#, "unknown field `ttl`"),
            (r#"{"name": "x", "nodes": [{"id": "a\nb", "address": "a:1"}]}"#, "control characters"),
        ] {
            let error = registration(json).unwrap_err();
            assert!(error.contains(said), "{json}: {error}");
        }
    }
}
