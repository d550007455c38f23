//! What runs in the namespace. It must be granted: `registry = "read"` under `[grants]` in `micro.toml`.

use crate::{Error, host};

/// One version of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its version, `latest` unless it has another.
    pub version: String,
    /// What it says of itself.
    pub metadata: Vec<(String, String)>,
    /// What it answers.
    pub endpoints: Vec<Endpoint>,
    /// Where it runs.
    pub nodes: Vec<Node>,
}

/// `Service.Method` with its messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// `Service.Method`.
    pub name: String,
    /// The request message.
    pub request: Value,
    /// The reply message.
    pub response: Value,
    /// What the endpoint says of itself.
    pub metadata: Vec<(String, String)>,
}

/// A message or a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Value {
    /// The field's name; a message's own name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// The fields of a message, nested at most 3 deep.
    pub values: Vec<Value>,
}

/// A process that runs the service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// `<service>-<uuid>`.
    pub id: String,
    /// Where it listens.
    pub address: String,
    /// What it says of itself.
    pub metadata: Vec<(String, String)>,
}

/// The versions of a service, one record each.
///
/// # Errors
/// 404 `service not found`; 403 when the registry is not granted.
pub async fn get_service(name: &str) -> Result<Vec<Service>, Error> {
    host::registry_get(name.to_owned()).await
}

/// The names of all services, sorted.
///
/// # Errors
/// 403 when the registry is not granted.
pub async fn list_services() -> Result<Vec<String>, Error> {
    host::registry_list().await
}
