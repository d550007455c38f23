//! `/v1/me/identities`: the accounts elsewhere that sign a person in. `POST` begins to link another one, which ends as
//! a sign-in does (`finish`), `DELETE` unlinks one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::oidc::{Identity, OidcStart, OidcStarted};

use super::{begin, provider};
use crate::Control;
use crate::authz::{Authorized, Signed};
use crate::error::Error;
use crate::extract;
use crate::oidc::ID;
use crate::people::OIDC_STARTS;

pub(crate) async fn list(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
) -> Result<Json<Vec<Identity>>, Error> {
    let person = caller.identity.person.as_deref().unwrap_or_default();
    let identities = control.db.identities(person).await.map_err(Error::db(ID))?;
    let shown = identities.into_iter().map(|identity| Identity {
        id: identity.id,
        issuer: identity.issuer,
        email: identity.email,
        created_ms: identity.created_ms,
        used_ms: identity.used_ms,
    });
    Ok(Json(shown.collect()))
}

pub(crate) async fn link(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    extract::Json(start): extract::Json<OidcStart>,
) -> Result<(StatusCode, Json<OidcStarted>), Error> {
    provider(&control)?;
    let person = control.person_row(caller.identity.person.as_deref()).await?;
    control.count(OIDC_STARTS, &person.id).await?;
    Ok((StatusCode::CREATED, Json(begin(&control, &person.id, &start).await?)))
}

pub(crate) async fn unlink(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    extract::Path(id): extract::Path<String>,
) -> Result<StatusCode, Error> {
    let person = caller.identity.person.as_deref().unwrap_or_default();
    control.db.unlink_identity(person, &id, &caller.actor()).await.map_err(Error::db(ID))?;
    Ok(StatusCode::NO_CONTENT)
}
