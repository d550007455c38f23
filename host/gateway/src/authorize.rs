//! May the caller call this? Only here an [`Authorized`] is made, and nothing is called without one.

use std::borrow::Cow;
use std::sync::Arc;

use http::header;
use micro_api::{Error, Namespace, ServiceKey, ServiceName};
use micro_auth::Verdict;
use micro_capability::Account;

use crate::authenticate::{BEARER, Caller};
use crate::place::GATEWAY;
use crate::respond::Refusal;
use crate::route::clean;
use crate::snapshot::Entry;
use crate::tenant::Tenant;

/// Endpoints of the platform's own kind, as Micro named them: never open to the public, whatever a rule says.
const DEBUG: &[u8] = b"debug.";

/// A call that the rules allow: who calls what.
#[derive(Debug)]
pub(crate) struct Authorized {
    pub(crate) entry: Arc<Entry>,
    /// `Service.Method`; a path where the service speaks HTTP.
    pub(crate) endpoint: String,
    caller: Caller,
    tenant: Arc<Tenant>,
}

impl Authorized {
    /// Asks the rules of the entry's namespace.
    ///
    /// # Errors
    /// 401 for nobody, 403 for an account that may not; both say what would help.
    pub(crate) fn new(
        caller: Caller,
        tenant: Arc<Tenant>,
        entry: Arc<Entry>,
        endpoint: String,
    ) -> Result<Self, Refusal> {
        let (namespace, name) = (&entry.key.namespace, &entry.key.name);
        if let Some(only) = limited(&caller, namespace, name) {
            let detail = format!("{}: its key is for {only} only", forbidden(&entry, &endpoint, &caller));
            return Err(Error::forbidden(entry.error_id(), detail).into());
        }
        match verdict(&caller, &tenant, namespace, name, &endpoint) {
            Verdict::Granted => Ok(Self { entry, endpoint, caller, tenant }),
            Verdict::Unauthorized => Err(unauthorized(&entry, &endpoint)),
            Verdict::Forbidden => Err(refused(&entry, &endpoint, &caller)),
        }
    }

    /// A call that the platform makes because the service itself asked for it, as a subscriber does: of nobody's account,
    /// so no rule is asked.
    pub(crate) fn of_platform(tenant: Arc<Tenant>, entry: Arc<Entry>, endpoint: String) -> Self {
        Self { entry, endpoint, caller: Caller::Nobody, tenant }
    }

    /// Whom the service sees.
    pub(crate) fn account(&self) -> Option<Account> {
        self.caller.account()
    }

    /// Whether the caller may call, and so know, another endpoint of the service.
    pub(crate) fn sees(&self, endpoint: &str) -> bool {
        let key = &self.entry.key;
        verdict(&self.caller, &self.tenant, &key.namespace, &key.name, endpoint) == Verdict::Granted
    }
}

/// Whether the caller may know that a service of this name exists.
pub(crate) fn sees_service(caller: &Caller, tenant: &Tenant, namespace: &Namespace, name: &str) -> bool {
    let Ok(name) = name.parse::<ServiceName>() else { return false };
    // No endpoint: only what holds of the whole service counts.
    limited(caller, namespace, &name).is_none()
        && verdict(caller, tenant, namespace, &name, "") == Verdict::Granted
}

/// The one service that the caller's key is for, if it is not this one.
fn limited(caller: &Caller, namespace: &Namespace, name: &ServiceName) -> Option<ServiceKey> {
    let Caller::Known(identity) = caller else { return None };
    let only = identity.service.as_ref()?;
    let other = only != name || identity.namespace != *namespace;
    other.then(|| ServiceKey { namespace: identity.namespace.clone(), name: only.clone() })
}

fn verdict(
    caller: &Caller,
    tenant: &Tenant,
    namespace: &Namespace,
    name: &ServiceName,
    endpoint: &str,
) -> Verdict {
    let subject = caller.subject();
    let start = endpoint.as_bytes().get(..DEBUG.len());
    if subject.is_none() && start.is_some_and(|start| start.eq_ignore_ascii_case(DEBUG)) {
        return Verdict::Unauthorized;
    }
    let check = |endpoint: &str| {
        let resource = (name.kind.as_str(), name.alias(), endpoint);
        tenant.rules.check(subject.as_ref(), namespace.as_str(), resource)
    };
    // A path reaches the service as it was sent, and it may or may not take `/x/../admin` and `/%61dmin` for `/admin`.
    match (check(endpoint), meant(endpoint)) {
        (Verdict::Granted, Cow::Owned(meant)) => check(&meant),
        (verdict, _) => verdict,
    }
}

/// A path without escapes, empty parts and `..`; owned only where that is another text.
fn meant(endpoint: &str) -> Cow<'_, str> {
    let bytes = endpoint.as_bytes();
    let plain = !endpoint.starts_with('/')
        || !(bytes.contains(&b'%')
            || endpoint.contains("//")
            || endpoint.contains("/.")
            || (endpoint.len() > 1 && endpoint.ends_with('/')));
    if plain {
        return Cow::Borrowed(endpoint);
    }
    Cow::Owned(clean(&percent_encoding::percent_decode_str(endpoint).decode_utf8_lossy()))
}

fn unauthorized(entry: &Entry, endpoint: &str) -> Refusal {
    let service = entry.service();
    let detail = format!(
        "Unauthorized call made to {service}:{endpoint}: send a token of the namespace `{}` (`micro login` gets one), \
         or open the service to everybody with `public = true` under [service] in its micro.toml",
        entry.key.namespace
    );
    Refusal::from(Error::unauthorized(entry.error_id(), detail)).header(header::WWW_AUTHENTICATE, BEARER)
}

fn refused(entry: &Entry, endpoint: &str, caller: &Caller) -> Refusal {
    let namespace = &entry.key.namespace;
    let issuer = caller.subject().map(|subject| subject.issuer.to_owned()).unwrap_or_default();
    if issuer != namespace.as_str() {
        let detail = format!(
            "Account not issued by {namespace}: the token is of the namespace `{issuer}`: get one of `{namespace}` with \
             `micro user namespace set {namespace}`, if you are a member"
        );
        return Error::forbidden(GATEWAY, detail).into();
    }
    let detail = format!(
        "{}: no rule of the namespace lets it, `micro auth list rules` shows them",
        forbidden(entry, endpoint, caller)
    );
    Error::forbidden(entry.error_id(), detail).into()
}

fn forbidden(entry: &Entry, endpoint: &str, caller: &Caller) -> String {
    let id = caller.subject().map(|subject| subject.id.to_owned()).unwrap_or_default();
    format!("Forbidden call made to {}:{endpoint} by {id}", entry.service())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_asked_about_as_it_may_be_meant() {
        for (sent, meant_is) in [
            ("/admin", None),
            ("/admin/", Some("/admin")),
            ("/public/../admin", Some("/admin")),
            ("/public/%2e%2e/admin", Some("/admin")),
            ("/%61dmin", Some("/admin")),
            ("//admin", Some("/admin")),
            ("/./admin", Some("/admin")),
            ("/", None),
            ("/a.b", None),
            ("Greeter.Hello", None),
        ] {
            match (meant(sent), meant_is) {
                (Cow::Borrowed(_), None) => {}
                (Cow::Owned(text), Some(wanted)) => assert_eq!(text, wanted, "{sent}"),
                (got, wanted) => panic!("{sent}: {got:?}, not {wanted:?}"),
            }
        }
    }
}
