//! Micro's auth: accounts of a namespace, tokens and rules. Field names are Micro's.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a person or an account may do in a namespace. Each role may all that the ones before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Runs, updates and kills services, and writes to the store.
    Developer,
    /// Manages members, accounts, rules and keys of others.
    Owner,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Developer, Self::Owner];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// A word that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role: choose viewer, developer or owner")]
pub struct UnknownRole(pub String);

/// An identity in a namespace, as `Auth.Inspect` answers it and `micro auth create account` prints it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Account {
    pub id: String,
    /// `user`, `service` or `apikey`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The namespace that it belongs to.
    pub issuer: String,
    pub metadata: BTreeMap<String, String>,
    pub scopes: Vec<String>,
    /// Only in the answer that makes the account.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secret: String,
    /// The name to show, where it differs from `id`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// `POST /v1/auth/accounts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// 1 to 128 characters of `a-zA-Z0-9._@-`.
    pub id: String,
    /// Empty: the platform makes one.
    #[serde(default)]
    pub secret: String,
    /// Empty: none beside being an account of the namespace.
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// `POST /v1/auth/token`: by id and secret, or by a refresh token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// A person's e-mail address or name, or the id of an account of `namespace`.
    #[serde(default)]
    pub id: String,
    #[serde(default)]
    pub secret: String,
    #[serde(default)]
    pub refresh_token: String,
    /// The namespace that the access token serves. Empty: the person's first one, the refresh token's own.
    #[serde(default)]
    pub namespace: String,
    /// The six digits of a second factor, where the person set one up.
    #[serde(default)]
    pub totp: String,
}

/// Access and refresh token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Token {
    /// A JWT of 15 minutes for one namespace.
    pub access_token: String,
    /// Opaque; each use gives a successor.
    pub refresh_token: String,
    /// Unix seconds.
    pub created: i64,
    /// Unix seconds at which `access_token` ends.
    pub expiry: i64,
    /// The namespace that `access_token` serves.
    pub namespace: String,
}

/// `POST /v1/auth/inspect`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inspect {
    /// An access token or an API key.
    pub token: String,
}

/// What a rule speaks of; `*` stands for any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Resource {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    pub endpoint: String,
}

/// What a rule decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    #[default]
    Unknown,
    Granted,
    Denied,
}

/// Who may call what. Source: Micro v2 `auth.Rule`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Rule {
    pub id: String,
    /// Empty: everybody; `*`: any account of the namespace; `+`: any account; else a scope that the account holds.
    pub scope: String,
    pub resource: Resource,
    pub access: Access,
    /// Higher ones are asked first.
    #[serde(default)]
    pub priority: i32,
}
