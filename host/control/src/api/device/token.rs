//! `POST /v1/device/token`: the terminal asks whether the person said yes. Until then the error's detail is one of
//! RFC 8628: `authorization_pending`, `slow_down`, `expired_token`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::Error as Api;
use micro_api::auth::Token;
use micro_api::person::DeviceCode;
use micro_auth::{Opaque, OpaqueKind, key};
use micro_db::Poll;

use super::ID;
use crate::Control;
use crate::authz::{Authorized, Public};
use crate::error::Error;
use crate::extract;
use crate::login::From;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    visitor: Authorized<Public>,
    extract::Json(code): extract::Json<DeviceCode>,
) -> Result<Json<Token>, Error> {
    let wait = |detail: &str| Error::from(Api::bad_request(ID, detail));
    if Opaque::parse(&code.device_code) != Some(OpaqueKind::Device) {
        return Err(wait("expired_token"));
    }
    let digest = key::digest(&code.device_code);
    let (person, namespace) = match control.db.poll_device(&digest).await.map_err(Error::db(ID))? {
        Poll::Approved { person, namespace } => (person, namespace),
        Poll::Pending => return Err(wait("authorization_pending")),
        Poll::SlowDown { .. } => return Err(wait("slow_down")),
        Poll::Ended => return Err(wait("expired_token")),
    };
    // The person may have been blocked or deleted since.
    let person = control.db.person(&person).await.map_err(Error::db(ID))?;
    let person = person.filter(|person| person.deleted_ms.is_none() && !person.is_blocked());
    let person = person.ok_or_else(|| wait("access_denied"))?;
    let from = From { address: visitor.address, agent: &visitor.agent };
    control.issue_tokens(&person, &namespace, &from).await.map(Json)
}
