//! `GET /v1/me`: who asks, where, and what they may do there.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::person::{Me, Membership};
use micro_auth::{Credential, Identity};

use crate::Control;
use crate::authz::{Authorized, Known};
use crate::error::Error;
use crate::people::ID;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Known>,
) -> Result<Json<Me>, Error> {
    me(&control, &caller.identity).await.map(Json)
}

/// What a credential may know of its holder. A key or an account is bound to its namespace, so it sees no other; and no
/// address, which is the person's.
pub(super) async fn me(control: &Control, identity: &Identity) -> Result<Me, Error> {
    let is_person =
        matches!(identity.credential, Credential::Session | Credential::Access | Credential::Local);
    let person = match identity.person.as_deref().filter(|_| is_person) {
        Some(id) => control.db.person(id).await.map_err(Error::db(ID))?,
        None => None,
    };
    let namespaces = match &person {
        Some(person) => control.db.memberships(&person.id).await.map_err(Error::db(ID))?,
        None => Vec::new(),
    };
    Ok(Me {
        id: identity.id.clone(),
        name: person.as_ref().map_or_else(|| identity.name.clone(), |person| person.name.clone()),
        operator: identity.operator,
        totp: person.as_ref().is_some_and(micro_db::Person::has_totp),
        email: person.map(|person| person.email).unwrap_or_default(),
        namespace: identity.namespace.to_string(),
        role: identity.role(),
        scopes: identity.scopes.clone(),
        namespaces: namespaces.into_iter().map(membership).collect(),
        credential: credential(identity.credential).to_owned(),
    })
}

pub(crate) fn membership(membership: micro_db::Membership) -> Membership {
    Membership {
        namespace: membership.namespace.to_string(),
        project: membership.project,
        environment: membership.environment,
        role: membership.role,
    }
}

fn credential(credential: Credential) -> &'static str {
    match credential {
        Credential::Session => "session",
        Credential::Access => "access",
        Credential::Key => "key",
        Credential::Account => "account",
        Credential::Local => "local",
        Credential::Service => "service",
    }
}
