//! `GET /v1/auth/accounts`: Micro's `Accounts.List`, people of the namespace first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::auth::Account;

use super::ID;
use crate::Control;
use crate::authz::{Authorized, Manage};
use crate::error::Error;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Manage>,
) -> Result<Json<Vec<Account>>, Error> {
    let issuer = caller.namespace.to_string();
    let members = control.db.members(&caller.namespace).await.map_err(Error::db(ID))?;
    let people = members.into_iter().map(|member| Account {
        id: member.name,
        kind: "user".to_owned(),
        issuer: issuer.clone(),
        scopes: micro_auth::scopes_of(member.role),
        ..Account::default()
    });
    let accounts = control.db.accounts(&caller.namespace).await.map_err(Error::db(ID))?;
    let accounts = accounts.into_iter().map(|account| Account {
        id: account.id,
        kind: account.kind,
        issuer: issuer.clone(),
        metadata: account.metadata,
        scopes: account.scopes,
        ..Account::default()
    });
    Ok(Json(people.chain(accounts).collect()))
}
