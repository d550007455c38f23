//! `POST /v1/auth/rules`: Micro's `Rules.Create`. When this answers, this node decides by it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use micro_api::Error as Api;
use micro_api::auth::{Access, Rule};
use micro_db::audit::Entry;

use super::ID;
use crate::Control;
use crate::api::keys::create::SCOPE_CHARS_MAX;
use crate::authz::{Authorized, Manage};
use crate::error::Error;
use crate::extract;

/// Characters of an id and of each part of a resource.
const TEXT_CHARS_MAX: usize = 128;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Manage>,
    extract::Json(rule): extract::Json<Rule>,
) -> Result<StatusCode, Error> {
    check(&rule)?;
    let max = control.config.rules_max;
    control.db.create_rule(&caller.namespace, &rule, max).await.map_err(Error::db(ID))?;
    control.follow_access().await.map_err(Error::db(ID))?;
    let resource = &rule.resource;
    let detail = format!(
        "{:?} {} {}:{}:{} priority {}",
        rule.access, rule.scope, resource.kind, resource.name, resource.endpoint, rule.priority
    );
    let (actor, namespace) = (caller.actor(), caller.namespace.as_str());
    let entry = Entry { actor: &actor, namespace, action: "rule.create", subject: &rule.id, detail: &detail };
    control.db.audit(entry).await.map_err(Error::db(ID))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Micro's words for what is missing.
fn check(rule: &Rule) -> Result<(), Error> {
    let bad = |detail: &str| Err(Api::bad_request(ID, detail).into());
    let resource = &rule.resource;
    if rule.id.is_empty() {
        return bad("ID missing");
    }
    if [&resource.kind, &resource.name, &resource.endpoint].into_iter().any(String::is_empty) {
        return bad("Resource missing");
    }
    if rule.access == Access::Unknown {
        return bad("Access missing");
    }
    let printable =
        |text: &str, max: usize| text.len() <= max && text.bytes().all(|byte| byte.is_ascii_graphic());
    let parts = [&rule.id, &resource.kind, &resource.name, &resource.endpoint];
    if !parts.into_iter().all(|part| printable(part, TEXT_CHARS_MAX))
        || !printable(&rule.scope, SCOPE_CHARS_MAX)
    {
        return bad(
            "a rule's texts are at most 128 printable characters without spaces, its scope at most 64",
        );
    }
    Ok(())
}
