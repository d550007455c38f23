//! `POST /v1/oidc/factor`: the second factor of the person whom the provider named.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::Error as Api;
use micro_api::oidc::{OidcFactor, OidcFinished};
use micro_auth::key;
use micro_db::{NewIdentity, Refusal, Step};

use super::finish::{by_email, linked, open};
use super::{SEALED_IDENTITY, provider, unseal};
use crate::Control;
use crate::authz::{Authorized, Public};
use crate::error::Error;
use crate::extract;
use crate::login::From;
use crate::oidc::ID;
use crate::people::OIDC_FACTORS;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    visitor: Authorized<Public>,
    extract::Json(factor): extract::Json<OidcFactor>,
) -> Result<Json<OidcFinished>, Error> {
    let provider = provider(&control)?;
    control.count_login(visitor.address).await?;
    let no_flow = || Error::db(ID)(Refusal::NoFlow.into());
    let digests = (key::digest(&factor.ticket), key::digest(&factor.browser));
    let flow = control.db.flow(Step::Factor, &digests.0, &digests.1).await.map_err(Error::db(ID))?;
    let flow = flow.ok_or_else(no_flow)?;
    control.count(OIDC_FACTORS, &flow.person).await?;
    let text = unseal(&control, SEALED_IDENTITY, &flow)?;
    let identity: NewIdentity =
        serde_json::from_str(&text).map_err(|_| Api::internal(ID, "internal error"))?;
    // Looked up again: the link or the address may be another's since.
    let known = match linked(&control, &identity).await? {
        Some(known) => Some(known),
        None => by_email(&control, provider, &identity).await?,
    };
    let known = known.filter(|known| known.person.id == flow.person).ok_or_else(no_flow)?;
    // A wrong code leaves the ticket good; each code is good once.
    if known.person.has_totp() {
        control.check_totp(&known.person, &factor.totp).await?;
    }
    let taken = control.db.take_flow(Step::Factor, &digests.0, &digests.1).await.map_err(Error::db(ID))?;
    let flow = taken.ok_or_else(no_flow)?;
    control.db.forgive(OIDC_FACTORS, &flow.person).await.map_err(Error::db(ID))?;
    let from = From { address: visitor.address, agent: &visitor.agent };
    open(&control, &from, &known, &identity, flow.redirect_to).await.map(Json)
}
