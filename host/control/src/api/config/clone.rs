//! `POST /v1/config/clone`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::auth::Role;
use micro_api::config::{Change, CloneTo};
use micro_api::{Error as Api, Namespace};
use micro_auth::Credential;
use micro_db::{ConfigWrite, Copied, Entry, HeldConfig, SealedSecret};

use super::{ID, sealed};
use crate::Control;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::extract;
use crate::vault::Vault;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(wish): extract::Json<CloneTo>,
) -> Result<Json<Change>, Error> {
    let to: Namespace =
        wish.namespace.parse().map_err(|_| Api::bad_request(ID, "this is no namespace's name"))?;
    check(&control, &caller, &to, wish.with_secrets).await?;
    let held = control.db.config(&caller.namespace).await.map_err(Error::db(ID))?;
    let copied = copy(&control, &caller, &to, held, wish.with_secrets).await?;
    let write = ConfigWrite::Clone(copied);
    let change = control.db.write_config(&to, write, &caller.actor()).await.map_err(Error::db(ID))?;
    control.node.config_changed().await;
    Ok(Json(change.unwrap_or_default()))
}

/// A person who may write in both; with secrets, who owns both.
async fn check(
    control: &Control,
    caller: &Authorized<Deploy>,
    to: &Namespace,
    with_secrets: bool,
) -> Result<(), Error> {
    let identity = &caller.identity;
    let a_person =
        matches!(identity.credential, Credential::Session | Credential::Access | Credential::Local);
    let Some(person) = identity.person.as_deref().filter(|_| a_person) else {
        let detail = "this reaches two namespaces, so it is for people: sign in with `micro login`";
        return Err(Api::forbidden(ID, detail).into());
    };
    if *to == caller.namespace {
        return Err(Api::bad_request(ID, "name another namespace than the one to be cloned").into());
    }
    let needed = if with_secrets { Role::Owner } else { Role::Developer };
    let there = control.db.role(to, person).await.map_err(Error::db(ID))?;
    let there = there.ok_or_else(|| Api::not_found(ID, format!("namespace {to} not found")))?;
    for (namespace, role) in [(&caller.namespace, identity.role()), (to, Some(there))] {
        if role.is_none_or(|role| role < needed) {
            let detail = format!("this needs the role {needed} in the namespace {namespace}: ask an owner");
            return Err(Api::forbidden(ID, detail).into());
        }
    }
    Ok(())
}

/// What is taken over, with its secrets sealed for the other namespace.
async fn copy(
    control: &Control,
    caller: &Authorized<Deploy>,
    to: &Namespace,
    held: HeldConfig,
    with_secrets: bool,
) -> Result<Copied, Error> {
    let from = caller.namespace.clone();
    if !with_secrets || held.secrets.is_empty() {
        return Ok(Copied { from, document: held.document, secrets: Vec::new(), key: String::new() });
    }
    let own = Vault::open(control.credentials.sealer(), &from, &held.sealed_key);
    let own = own.map_err(|error| sealed(&error))?;
    let (other, key) = control.vault(to).await?;
    let mut secrets = Vec::with_capacity(held.secrets.len());
    for secret in &held.secrets {
        let text = own.text(secret).map_err(|error| sealed(&error))?;
        secrets.push(SealedSecret { name: secret.name.clone(), sealed: other.seal(&secret.name, &text) });
    }
    let actor = caller.actor();
    let entry = Entry {
        actor: &actor,
        namespace: from.as_str(),
        action: "secret.clone",
        subject: to.as_str(),
        detail: "",
    };
    control.db.audit(entry).await.map_err(Error::db(ID))?;
    Ok(Copied { from, document: held.document, secrets, key })
}
