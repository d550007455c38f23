//! What only the operator of a platform sees and does.

use serde::{Deserialize, Serialize};

/// A person. `GET /v1/operator/people?query=&after=&limit=`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Person {
    pub id: String,
    pub name: String,
    pub email: String,
    pub operator: bool,
    pub blocked: bool,
    pub created_ms: i64,
    /// 0: never.
    pub login_ms: i64,
    pub namespaces: i64,
}

/// A namespace. `GET /v1/operator/namespaces?query=&after=&limit=`, costliest of the month first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NamespaceStatus {
    pub namespace: String,
    pub plan: String,
    pub blocked: bool,
    pub services: i64,
    pub members: i64,
    /// Of the running month.
    pub requests: i64,
    pub cpu_ms: i64,
    pub created_ms: i64,
}

/// A plan as the operator configured it. `GET /v1/operator/plans`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Plan {
    pub name: String,
    pub limits: Vec<crate::usage::Limit>,
    pub price_millicents_per_month: i64,
}

/// `PUT /v1/operator/namespaces/{namespace}`; `PUT /v1/operator/people/{id}` takes `blocked` alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    #[serde(default)]
    pub blocked: Option<bool>,
    #[serde(default)]
    pub plan: Option<String>,
    /// Why, for the audit log.
    #[serde(default)]
    pub reason: String,
}

/// `POST /v1/operator/invitations`: someone new, with a namespace of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    pub email: String,
}
