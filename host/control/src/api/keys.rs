//! API keys of a namespace. An owner sees and ends all, others their own.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;

use micro_api::auth::Role;
use micro_api::person::Key;
use micro_auth::{Credential, Identity};
use micro_db::ApiKey;

const ID: &str = "go.micro.auth";

/// How the maker of a key is named in its row.
fn owner_of(identity: &Identity) -> String {
    match &identity.person {
        Some(person) => person.clone(),
        None => format!("account:{}", identity.id),
    }
}

/// Whose keys the caller may see and end; empty: everyone's.
fn visible(identity: &Identity) -> String {
    if identity.role() == Some(Role::Owner) && identity.credential != Credential::Key {
        String::new()
    } else {
        owner_of(identity)
    }
}

fn shown(row: ApiKey) -> Key {
    Key {
        id: row.id,
        description: row.description,
        scopes: serde_json::from_str(&row.scopes).unwrap_or_default(),
        service: row.service,
        owner: row.owner_name,
        created_ms: row.created_ms,
        expires_ms: row.expires_ms,
        used_ms: row.used_ms,
        blocked: row.blocked != 0,
    }
}
