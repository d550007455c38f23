//! `POST /v1/auth/inspect`: Micro's `Auth.Inspect`. Whoever has a token may know whose it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::Error as Api;
use micro_api::auth::{Account, Inspect};
use micro_auth::Credential;

use crate::Control;
use crate::authz::{AUTH, Authorized, Public};
use crate::error::Error;
use crate::extract;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    _visitor: Authorized<Public>,
    extract::Json(inspect): extract::Json<Inspect>,
) -> Result<Json<Account>, Error> {
    let identity = control.identify(&inspect.token, None).await?;
    // A browser's session is no token.
    if identity.credential == Credential::Session {
        return Err(Api::unauthorized(AUTH, "Invalid token").into());
    }
    Ok(Json(identity.account()))
}
