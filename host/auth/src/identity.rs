//! Who asks: what a credential proved.

use std::sync::Arc;

use async_trait::async_trait;
use micro_api::auth::{Account, Role};
use micro_api::{Namespace, ServiceName};

/// What kind of credential it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A browser's session at the control plane; never one at the gateway.
    Session,
    /// An access token of a person.
    Access,
    /// An API key.
    Key,
    /// An access token of an account of a namespace.
    Account,
    /// The socket of this machine, by its owner.
    Local,
    /// A service, by the instance that calls.
    Service,
}

/// Somebody, in one namespace. Only an [`Authenticator`] makes one from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// A person's or account's id, or the key's.
    pub id: String,
    /// The name to show and log.
    pub name: String,
    pub credential: Credential,
    /// The namespace that issued the credential: what it acts in.
    pub namespace: Namespace,
    /// Roles and named scopes there.
    pub scopes: Vec<String>,
    /// The person behind it.
    pub person: Option<String>,
    /// The session, refresh family or key that revoking ends.
    pub session: String,
    /// The one service that the credential is limited to.
    pub service: Option<ServiceName>,
    /// May use the operator's endpoints.
    pub operator: bool,
    /// When the credential ends, Unix milliseconds.
    pub expires_ms: i64,
}

impl Identity {
    /// The greatest role among the scopes.
    pub fn role(&self) -> Option<Role> {
        crate::role_of(&self.scopes)
    }

    /// As services and `Auth.Inspect` see it.
    pub fn account(&self) -> Account {
        let kind = match self.credential {
            Credential::Key => "apikey",
            Credential::Service => "service",
            _ => "user",
        };
        Account {
            id: self.id.clone(),
            kind: kind.to_owned(),
            issuer: self.namespace.to_string(),
            scopes: self.scopes.clone(),
            name: self.name.clone(),
            ..Account::default()
        }
    }
}

/// Why a credential proved nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No credential of this platform, or one that was revoked.
    #[error("Invalid token")]
    Invalid,
    /// It ended at this time, Unix seconds.
    #[error("the token expired at {0}: run `micro login`")]
    Expired(i64),
    /// The namespace, the person or the key was blocked by the operator or a quota.
    #[error("{0} is blocked: ask the operator of this platform")]
    Blocked(String),
    /// The database is away and the credential is not known from before.
    #[error("credentials cannot be checked at the moment: try again")]
    Unavailable,
}

/// What knows credentials. Known ones are answered from memory.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// The identity behind a bearer credential.
    async fn authenticate(&self, credential: &str) -> Result<Arc<Identity>, Refused>;
}
