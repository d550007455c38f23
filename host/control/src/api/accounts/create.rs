//! `POST /v1/auth/accounts`: Micro's `Auth.Generate`. The answer is the only one that has the secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::Error as Api;
use micro_api::auth::{Account, NewAccount};
use micro_auth::{may_grant, random_secret};
use micro_db::NamespaceAccount;
use micro_db::audit::Entry;

use super::ID;
use crate::Control;
use crate::api::keys::create::check_scopes;
use crate::authz::{Authorized, Manage};
use crate::error::Error;
use crate::extract;
use crate::login::password_error;

const ID_CHARS_MAX: usize = 128;
/// Metadata of one account, JSON bytes.
const METADATA_BYTES_MAX: usize = 4 * 1024;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Manage>,
    extract::Json(wish): extract::Json<NewAccount>,
) -> Result<(StatusCode, Json<Account>), Error> {
    check(&wish)?;
    may_grant(&caller.identity.scopes, &wish.scopes).map_err(|scope| {
        Api::forbidden(ID, format!("you cannot give the scope `{scope}`: you do not hold it yourself"))
    })?;
    let secret = if wish.secret.is_empty() { random_secret("").expose().to_owned() } else { wish.secret };
    let password = control.passwords.hash(&secret).await.map_err(password_error)?;
    let account = NamespaceAccount {
        id: wish.id,
        kind: "user".to_owned(),
        password,
        scopes: wish.scopes,
        metadata: wish.metadata,
    };
    let max = control.config.accounts_max;
    control.db.create_account(&caller.namespace, &account, max).await.map_err(Error::db(ID))?;
    let (actor, detail) = (caller.actor(), format!("scopes {}", account.scopes.join(" ")));
    let namespace = caller.namespace.as_str();
    let entry =
        Entry { actor: &actor, namespace, action: "account.create", subject: &account.id, detail: &detail };
    control.db.audit(entry).await.map_err(Error::db(ID))?;
    let made = Account {
        id: account.id,
        kind: account.kind,
        issuer: caller.namespace.to_string(),
        metadata: account.metadata,
        scopes: account.scopes,
        secret,
        name: String::new(),
    };
    Ok((StatusCode::CREATED, Json(made)))
}

fn check(wish: &NewAccount) -> Result<(), Error> {
    if wish.id.is_empty() {
        return Err(Api::bad_request(ID, "ID required").into());
    }
    let fine = wish.id.len() <= ID_CHARS_MAX
        && wish.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte));
    if !fine {
        let detail = "the ID is not valid: use up to 128 letters, digits, `-`, `_`, `.` and `@`";
        return Err(Api::bad_request(ID, detail).into());
    }
    let metadata = serde_json::to_vec(&wish.metadata).map_or(usize::MAX, |json| json.len());
    if metadata > METADATA_BYTES_MAX {
        return Err(
            Api::bad_request(ID, format!("the metadata is larger than {METADATA_BYTES_MAX} bytes")).into()
        );
    }
    check_scopes(&wish.scopes)
}
