//! `POST /v1/invitations`: mails a code that makes its reader a member.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::auth::Role;
use micro_api::team::{Invitation, NewInvitation as Wish};
use micro_api::{Error as Api, Namespace};
use micro_auth::{Identity, Opaque, OpaqueKind, key, may_grant};
use micro_db::{Actor, NewInvitation};

use crate::Control;
use crate::authz::{Authorized, Manage};
use crate::error::Error;
use crate::extract;
use crate::mail::parse_address;
use crate::people::{ID, INVITES};

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Manage>,
    extract::Json(wish): extract::Json<Wish>,
) -> Result<(StatusCode, Json<Invitation>), Error> {
    let identity = &caller.identity;
    may_grant(&identity.scopes, &[wish.role.to_string()]).map_err(|role| {
        Api::forbidden(ID, format!("you cannot invite somebody as {role}: you do not hold it yourself"))
    })?;
    let into = Some((&caller.namespace, wish.role));
    let inviting = Inviting { identity, actor: &caller.actor(), address: caller.address };
    let made = invite(&control, &inviting, &wish.email, into).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Who invites.
pub(crate) struct Inviting<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) actor: &'a Actor,
    pub(crate) address: IpAddr,
}

/// Makes an invitation and mails it; where no mails are sent its code is in the answer. `into`: `None` is the platform.
pub(crate) async fn invite(
    control: &Control,
    by: &Inviting<'_>,
    email: &str,
    into: Option<(&Namespace, Role)>,
) -> Result<Invitation, Error> {
    let to = parse_address(ID, email)?;
    let Some(person) = by.identity.person.as_deref() else {
        let detail = "an invitation is a person's: sign in with `micro login`";
        return Err(Api::forbidden(ID, detail).into());
    };
    control.count(INVITES, person).await?;
    control.count_mail(&to, by.address).await?;
    let code = Opaque::new(OpaqueKind::Invitation);
    let is_operator = control.person_row(Some(person)).await?.is_operator();
    let new = NewInvitation {
        digest: &key::digest(code.expose()),
        email: to.as_ref(),
        namespace: into.map(|(namespace, _)| namespace),
        role: into.map_or(Role::Owner, |(_, role)| role),
        invited_by: person,
        budget: (!is_operator).then_some(control.config.people.invitations),
    };
    let mut made = control.db.invite(&new, by.actor).await.map_err(Error::db(ID))?;
    if control.config.people.mail.can_send() {
        let into = into.map(|(namespace, role)| (namespace.as_str(), role));
        control.post(control.texts().invitation(to, &by.identity.name, into, code.expose()))?;
    } else {
        made.code = Some(code.expose().to_owned());
    }
    Ok(made)
}
