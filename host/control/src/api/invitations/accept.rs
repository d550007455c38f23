//! `POST /v1/invitations/accept`: somebody who has an account joins the namespace that they were invited to.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::person::Membership;
use micro_api::team::AcceptInvitation;

use crate::Control;
use crate::api::me::get::membership;
use crate::api::signup::invitation_digest;
use crate::authz::{Authorized, Signed};
use crate::error::Error;
use crate::extract;
use crate::people::{GUESSES, ID};

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    extract::Json(accept): extract::Json<AcceptInvitation>,
) -> Result<Json<Membership>, Error> {
    let person = caller.identity.person.as_deref().unwrap_or_default();
    control.count(GUESSES, person).await?;
    let digest = invitation_digest(&accept.code)?;
    let plans = Arc::clone(&control.config.plans);
    let members_max = move |plan: &str| plans.of(plan).and_then(|plan| plan.quotas().members);
    let joined = control.db.accept_invitation(person, &digest, members_max, &caller.actor()).await;
    let joined = joined.map_err(Error::db(ID))?;
    control.follow().await;
    Ok(Json(membership(joined)))
}
