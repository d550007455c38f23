//! `POST /v1/operator/invitations`: asks somebody to the platform, with a namespace of their own.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::operator::Invite;
use micro_api::team::Invitation;

use crate::Control;
use crate::api::invitations::create::{Inviting, invite};
use crate::authz::{Authorized, Operate};
use crate::error::Error;
use crate::extract;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Operate>,
    extract::Json(wish): extract::Json<Invite>,
) -> Result<(StatusCode, Json<Invitation>), Error> {
    let inviting = Inviting { identity: &caller.identity, actor: &caller.actor(), address: caller.address };
    let made = invite(&control, &inviting, &wish.email, None).await?;
    Ok((StatusCode::CREATED, Json(made)))
}
