//! `POST /v1/auth/token`: Micro's `Auth.Token`, by id and secret or by a refresh token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::auth::{Token, TokenRequest};
use micro_api::{Error as Api, Namespace};

use crate::Control;
use crate::authz::{AUTH, Authorized, Public};
use crate::error::Error;
use crate::extract;
use crate::login::{From, Holder};

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    visitor: Authorized<Public>,
    extract::Json(request): extract::Json<TokenRequest>,
) -> Result<Json<Token>, Error> {
    let namespace = match request.namespace.as_str() {
        "" => None,
        name => Some(name.parse::<Namespace>().map_err(|error| Api::bad_request(AUTH, error.to_string()))?),
    };
    let from = From { address: visitor.address, agent: &visitor.agent };
    if !request.refresh_token.is_empty() {
        return control.refresh(&request.refresh_token, namespace.as_ref()).await.map(Json);
    }
    if request.id.is_empty() || request.secret.is_empty() {
        return Err(Api::bad_request(AUTH, "Credentials or a refresh token required").into());
    }
    // An account that is no person is looked for where the request says, or in the operator's namespace.
    let place = namespace.clone().unwrap_or_default();
    match control.prove(&request.id, &request.secret, &request.totp, Some(&place), &from).await? {
        Holder::Account(namespace, account) => {
            control.issue_account_tokens(&namespace, &account, &from).await.map(Json)
        }
        Holder::Person(person) => {
            let memberships = control.db.memberships(&person.id).await.map_err(Error::db(AUTH))?;
            let first = memberships.into_iter().next().map(|member| member.namespace);
            let Some(namespace) = namespace.or(first) else {
                let detail =
                    "you are in no namespace: make one with `micro project create`, or in the portal";
                return Err(Api::forbidden(AUTH, detail).into());
            };
            control.issue_tokens(&person, &namespace, &from).await.map(Json)
        }
    }
}
