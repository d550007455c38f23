//! Registry records (REG-01…03), the same shape as Micro v2's `registry.Service`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// A message or field: nested at most 3 deep, names in snake_case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Value {
    pub name: String,
    pub r#type: String,
    #[serde(default)]
    pub values: Vec<Value>,
}
