//! `POST /v1/keys`: the one answer that shows a key.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use micro_api::person::{NewKey, NewKeyMade};
use micro_api::{Error as Api, ServiceName};
use micro_auth::{Opaque, OpaqueKind, key, may_grant};
use micro_db::audit::Entry;
use micro_db::{ApiKey, now_ms};

use super::{ID, owner_of, shown};
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract;

const DAYS_DEFAULT: u32 = 90;
const DAYS_MAX: u32 = 365;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const DESCRIPTION_CHARS_MAX: usize = 200;
/// Scopes of one key, and characters of one.
const SCOPES_MAX: usize = 32;
pub(crate) const SCOPE_CHARS_MAX: usize = 64;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    extract::Json(wish): extract::Json<NewKey>,
) -> Result<(StatusCode, Json<NewKeyMade>), Error> {
    let bad = |detail: String| Error::from(Api::bad_request(ID, detail));
    let days = if wish.days == 0 { DAYS_DEFAULT } else { wish.days };
    if days > DAYS_MAX {
        return Err(bad(format!("a key lasts at most {DAYS_MAX} days, not {days}")));
    }
    if wish.description.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(bad(format!("the description is longer than {DESCRIPTION_CHARS_MAX} characters")));
    }
    if !wish.service.is_empty() {
        wish.service.parse::<ServiceName>().map_err(|error| bad(error.to_string()))?;
    }
    check_scopes(&wish.scopes)?;
    let held = &caller.identity.scopes;
    let scopes = if wish.scopes.is_empty() { held.clone() } else { wish.scopes };
    may_grant(held, &scopes).map_err(|scope| {
        Api::forbidden(ID, format!("you cannot give the scope `{scope}`: you do not hold it yourself"))
    })?;
    let token = Opaque::new(OpaqueKind::Key);
    let now = now_ms();
    let row = ApiKey {
        id: uuid::Uuid::new_v4().to_string(),
        digest: key::digest(token.expose()),
        namespace: caller.namespace.to_string(),
        owner: owner_of(&caller.identity),
        owner_name: caller.identity.name.clone(),
        description: wish.description,
        scopes: serde_json::to_string(&scopes).unwrap_or_default(),
        service: wish.service,
        blocked: 0,
        created_ms: now,
        expires_ms: now + i64::from(days) * DAY_MS,
        used_ms: 0,
    };
    control.db.insert_key(&row, control.config.keys_max).await.map_err(Error::db(ID))?;
    let (actor, detail) = (caller.actor(), format!("scopes {}, {days} days", scopes.join(" ")));
    let namespace = caller.namespace.as_str();
    let entry = Entry { actor: &actor, namespace, action: "key.create", subject: &row.id, detail: &detail };
    control.db.audit(entry).await.map_err(Error::db(ID))?;
    if let Some(person) = caller.identity.person.as_deref() {
        let person = control.person_row(Some(person)).await?;
        let address = caller.address.to_string();
        control.tell_person(&person, |texts, to| texts.new_key(to, &row.description, namespace, &address));
    }
    let made = NewKeyMade { key: shown(row), token: token.expose().to_owned() };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Scopes as rules can name them.
pub(crate) fn check_scopes(scopes: &[String]) -> Result<(), Error> {
    let fine = |scope: &String| {
        (1..=SCOPE_CHARS_MAX).contains(&scope.len())
            && scope.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte))
    };
    if scopes.len() > SCOPES_MAX {
        return Err(Api::bad_request(ID, format!("there are more than {SCOPES_MAX} scopes")).into());
    }
    match scopes.iter().find(|scope| !fine(scope)) {
        Some(scope) => {
            let shown: String = scope.chars().take(SCOPE_CHARS_MAX).collect();
            let detail =
                format!("`{shown}` is no scope: use up to 64 of a-z, 0-9, `-`, `_`, `.`, `:` and `/`");
            Err(Api::bad_request(ID, detail).into())
        }
        None => Ok(()),
    }
}
