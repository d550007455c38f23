//! `DELETE /v1/namespaces/{namespace}`: an environment ends, by its owner. What runs is stopped, its name is never given
//! again.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::{Error as Api, Namespace};

use crate::Control;
use crate::authz::{Authorized, Signed};
use crate::error::Error;
use crate::extract::Path;
use crate::people::ID;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Signed>,
    Path(namespace): Path<String>,
) -> Result<StatusCode, Error> {
    let namespace: Namespace = namespace.parse().map_err(|_| Api::not_found(ID, "namespace not found"))?;
    let person = caller.identity.person.as_deref().unwrap_or_default();
    control.db.delete_namespace(person, &namespace, &caller.actor()).await.map_err(Error::db(ID))?;
    control.follow().await;
    control.stop_all(std::slice::from_ref(&namespace)).await;
    Ok(StatusCode::NO_CONTENT)
}
