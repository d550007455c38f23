//! What runs in the namespace. It must be granted: `registry = "read"` under `[grants]` in `micro.toml`.

use std::time::Duration;

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

/// What happened to a version of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is there.
    Create,
    /// Its nodes, endpoints or metadata are others than before.
    Update,
    /// It is gone.
    Delete,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub action: Action,
    /// The version, as it is now; as it was when it is gone.
    pub service: Service,
    /// When, Unix milliseconds.
    pub timestamp_ms: u64,
}

/// Up to 256 changes, and where to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// A list of all that is there begins: a [`Action::Create`] each. It may go on in further answers.
    pub reset: bool,
    /// No such list is under way, or it ends with these changes. What was known before it and is not in it is gone.
    pub ready: bool,
    /// What the next call gives as `after`.
    pub revision: String,
    /// In the order in which they happened.
    pub changes: Vec<Change>,
}

/// What changed after the `revision` of the answer before, in one service or in all; all that is there when `after` is
/// none, too old, or of another server. Where nothing changed it waits for up to `wait`, 30 s, and the call's own time,
/// and then answers without changes.
///
/// Keep `revision` in the store to go on in the next call: none is missed.
///
/// # Errors
/// 400 for what is no name of a service; 403 when the registry is not granted.
pub async fn watch(service: Option<&str>, after: Option<&str>, wait: Duration) -> Result<Changes, Error> {
    host::registry_watch(service.map(str::to_owned), after.map(str::to_owned), wait).await
}
