//! Projects, their environments (namespaces), members, invitations, and the audit log.

use serde::{Deserialize, Serialize};

use crate::auth::Role;

/// A project: a name, a repository, and an environment for each namespace. `GET /v1/projects`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Project {
    pub id: String,
    pub name: String,
    pub description: String,
    pub repository: String,
    pub environments: Vec<Environment>,
    pub created_ms: i64,
}

/// An environment of a project: a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Environment {
    pub namespace: String,
    pub name: String,
    pub description: String,
    pub plan: String,
    pub created_ms: i64,
    /// The role of the one who asks.
    pub role: Role,
    /// The operator stopped it.
    pub blocked: bool,
}

/// `POST /v1/projects`: a project with its first environment, `production` unless named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// 3 to 40 characters: letters, digits, inner `-` and spaces.
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub repository: String,
}

/// `POST /v1/projects/{id}/environments`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEnvironment {
    /// As a project's name, at least one character.
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// Empty: three random words.
    #[serde(default)]
    pub namespace: String,
}

/// A person in a namespace. `GET /v1/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Member {
    pub id: String,
    pub name: String,
    pub email: String,
    pub role: Role,
    pub joined_ms: i64,
}

/// `PUT /v1/members/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRole {
    pub role: Role,
}

/// `POST /v1/invitations`: a mail with a code goes to the address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    pub email: String,
    pub role: Role,
}

/// An invitation that waits. `GET /v1/invitations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Invitation {
    pub id: String,
    pub email: String,
    pub namespace: String,
    pub role: Role,
    /// Name of the one who invited.
    pub invited_by: String,
    pub created_ms: i64,
    pub expires_ms: i64,
    /// The code to hand over, only in the answer that makes the invitation and only where no mail can be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// `POST /v1/invitations/accept`, by a signed-in person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvitation {
    pub code: String,
}

/// One line of the audit log. `GET /v1/audit?after=&limit=`, newest first; `after` is the last `id` seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AuditRecord {
    pub id: String,
    pub at_ms: i64,
    /// Name of who did it; a pseudonym once the account is deleted.
    pub actor: String,
    /// `<thing>.<verb>`, such as `key.create`, `service.run`.
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// Address that it came from.
    pub address: String,
    /// More, in words.
    pub detail: String,
}
