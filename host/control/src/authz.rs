//! May this request do that? Only here can an [`Authorized`] be made, and no handler runs without one.
//!
//! The action is in the handler's signature: `Authorized<Deploy>`. What an action needs is written once, below. A
//! credential of one namespace acts only there; of several, where the header `Micro-Namespace` says. Somebody who is no
//! member is told that there is nothing: 404, never 403.

use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use micro_api::auth::Role;
use micro_api::{Error as Api, Namespace, ServiceName};
use micro_auth::{Credential, Identity, Refused, peek_unverified};
use subtle::ConstantTimeEq;

use crate::Control;
use crate::error::Error;

/// Id of errors about who asks.
pub(crate) const AUTH: &str = "go.micro.auth";
/// Bytes of a `User-Agent` that are kept.
const AGENT_BYTES_MAX: usize = 200;

/// What an action needs of the one who asks.
pub(crate) trait Action: Send + Sync + 'static {
    /// What the handler learns of who asks.
    type Who: Send + Sync;
    /// A key that is limited to one service may do it, to that service.
    const OF_SERVICE: bool = false;
    fn decide(identity: Option<Arc<Identity>>) -> Result<Self::Who, Api>;
}

/// Nothing: signing in, signing up, what everybody may know.
pub(crate) struct Public;
/// A person, in whatever namespace.
pub(crate) struct Signed;
/// Any credential of the platform.
pub(crate) struct Known;
/// The role viewer.
pub(crate) struct Read;
/// The role viewer, or a key for the one service.
pub(crate) struct ReadService;
/// The role developer.
pub(crate) struct Deploy;
/// The role developer, or a key for the one service.
pub(crate) struct DeployService;
/// The role owner.
pub(crate) struct Manage;
/// The platform's operator.
pub(crate) struct Operate;

impl Action for Public {
    type Who = Option<Arc<Identity>>;
    const OF_SERVICE: bool = true;
    fn decide(identity: Option<Arc<Identity>>) -> Result<Self::Who, Api> {
        Ok(identity)
    }
}

impl Action for Signed {
    type Who = Arc<Identity>;
    fn decide(identity: Option<Arc<Identity>>) -> Result<Self::Who, Api> {
        let identity = required(identity)?;
        let a_person =
            matches!(identity.credential, Credential::Session | Credential::Access | Credential::Local);
        if a_person && identity.person.is_some() {
            return Ok(identity);
        }
        Err(Api::forbidden(AUTH, "this is for people: sign in with `micro login` or in the portal"))
    }
}

impl Action for Known {
    type Who = Arc<Identity>;
    const OF_SERVICE: bool = true;
    fn decide(identity: Option<Arc<Identity>>) -> Result<Self::Who, Api> {
        required(identity)
    }
}

macro_rules! needs_role {
    ($($action:ident: $role:expr, $of_service:literal;)*) => {$(
        impl Action for $action {
            type Who = Arc<Identity>;
            const OF_SERVICE: bool = $of_service;
            fn decide(identity: Option<Arc<Identity>>) -> Result<Self::Who, Api> {
                with_role(identity, $role)
            }
        }
    )*};
}
needs_role! {
    Read: Role::Viewer, false;
    ReadService: Role::Viewer, true;
    Deploy: Role::Developer, false;
    DeployService: Role::Developer, true;
    Manage: Role::Owner, false;
}

impl Action for Operate {
    type Who = Arc<Identity>;
    fn decide(identity: Option<Arc<Identity>>) -> Result<Self::Who, Api> {
        let identity = required(identity)?;
        // Whoever is not the operator learns nothing of these paths.
        if identity.operator { Ok(identity) } else { Err(Api::not_found("control", "no such route")) }
    }
}

fn required(identity: Option<Arc<Identity>>) -> Result<Arc<Identity>, Api> {
    identity.ok_or_else(|| Api::unauthorized(AUTH, "account is required: run `micro login`"))
}

fn with_role(identity: Option<Arc<Identity>>, needed: Role) -> Result<Arc<Identity>, Api> {
    let identity = required(identity)?;
    match identity.role() {
        Some(role) if role >= needed => Ok(identity),
        Some(role) => Err(Api::forbidden(
            AUTH,
            format!(
                "this needs the role {needed} in the namespace {}, and {} has {role}: ask an owner",
                identity.namespace, identity.name
            ),
        )),
        // A member has a role; an account of the namespace may have none.
        None if identity.credential == Credential::Account || identity.credential == Credential::Key => {
            Err(Api::forbidden(
                AUTH,
                format!(
                    "this needs the role {needed}, and {} has none: give it the scope `{needed}`",
                    identity.name
                ),
            ))
        }
        None => Err(Api::not_found(AUTH, format!("namespace {} not found", identity.namespace))),
    }
}

/// A request that may do `A`.
pub(crate) struct Authorized<A: Action> {
    /// Who asks.
    pub(crate) identity: A::Who,
    /// Where it acts: what the credential says, not what the request claims.
    pub(crate) namespace: Namespace,
    /// Where it comes from.
    pub(crate) address: IpAddr,
    /// The program that asks, shortened.
    pub(crate) agent: String,
    /// The one service that the credential is limited to.
    only: Option<ServiceName>,
    /// What the identity was looked up by, for what goes on for long.
    credential: Option<String>,
    action: PhantomData<A>,
}

/// Set by the listener of the socket: the other end runs as our own user.
#[derive(Debug, Clone, Copy)]
pub struct LocalPeer;

impl<A: Action> FromRequestParts<Arc<Control>> for Authorized<A> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, Error> {
        let address = address(parts, control);
        let hint = namespace_hint(&parts.headers)?;
        let credential = bearer(&parts.headers)?;
        let identity = match &credential {
            Some(credential) => Some(control.identify(credential, hint.as_ref()).await?),
            None if parts.extensions.get::<LocalPeer>().is_some() => {
                Some(control.local_identity(hint.as_ref()).await?)
            }
            None => None,
        };
        let only = identity.as_ref().and_then(|identity| identity.service.clone());
        if let Some(service) = only.as_ref().filter(|_| !A::OF_SERVICE) {
            return Err(Api::forbidden(AUTH, format!("this key is limited to the service {service}")).into());
        }
        let namespace =
            identity.as_ref().map(|identity| identity.namespace.clone()).or(hint).unwrap_or_default();
        let identity = A::decide(identity)?;
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let agent = agent.unwrap_or_default().chars().take(AGENT_BYTES_MAX).collect();
        Ok(Self { identity, namespace, address, agent, only, credential, action: PhantomData })
    }
}

impl<A: Action> Authorized<A> {
    /// Refuses a service that the credential is not for, as if it were not there.
    pub(crate) fn check_service(&self, service: &ServiceName) -> Result<(), Error> {
        match &self.only {
            Some(only) if only != service => {
                Err(Api::forbidden(AUTH, format!("this key is limited to the service {only}")).into())
            }
            _ => Ok(()),
        }
    }
}

impl<A: Action<Who = Arc<Identity>>> Authorized<A> {
    /// Who asks, for the audit log.
    pub(crate) fn actor(&self) -> micro_db::audit::Actor {
        micro_db::audit::Actor {
            id: self.identity.id.clone(),
            name: self.identity.name.clone(),
            address: self.address.to_string(),
        }
    }

    /// Ends when the credential does not prove the same any more: what streams for long must stop then.
    pub(crate) fn revoked(&self, control: &Arc<Control>) -> impl Future<Output = ()> + Send + 'static {
        let (control, credential) = (Arc::clone(control), self.credential.clone());
        let (namespace, scopes) = (self.namespace.clone(), self.identity.scopes.clone());
        async move {
            let Some(credential) = credential else { return std::future::pending().await };
            let mut access = control.access_changes();
            loop {
                match control.identify(&credential, Some(&namespace)).await {
                    Ok(now) if now.scopes == scopes && now.namespace == namespace => {}
                    _ => return,
                }
                let over = tokio::time::sleep(control.config.credential_check);
                tokio::select! {
                    changed = access.changed() => if changed.is_err() { return },
                    // A credential also ends by time.
                    () = over => {}
                }
            }
        }
    }
}

/// Who sends a request that is not for the API itself, and for which namespace.
pub struct Caller {
    /// Nobody: there was no credential.
    pub identity: Option<Arc<Identity>>,
    pub namespace: Namespace,
}

impl Control {
    /// Who sends the request with these parts: for what is served beside the API, on the same address.
    ///
    /// # Errors
    /// A credential that proves nothing, or not for the namespace that the request names.
    pub async fn caller(self: &Arc<Self>, parts: &Parts) -> Result<Caller, Api> {
        let mut parts = parts.clone();
        let caller = Authorized::<Public>::from_request_parts(&mut parts, self).await;
        // A key that is limited to a service may call that one: the gateway looks.
        let caller = caller.map_err(|error| error.0)?;
        Ok(Caller { identity: caller.identity, namespace: caller.namespace })
    }

    /// Who holds `credential`, with the words of Micro for those who hold it elsewhere.
    pub(crate) async fn identify(
        &self,
        credential: &str,
        hint: Option<&Namespace>,
    ) -> Result<Arc<Identity>, Error> {
        let identity = self.credentials.identify(credential, hint).await.map_err(|refused| {
            let mut error = refusal(&refused);
            if matches!(refused, Refused::Invalid)
                && let Some(issuer) = peek_unverified(credential).map(|claims| claims.iss)
            {
                error.detail = format!(
                    "Invalid token: it was issued by the namespace {issuer} of another platform, or has been revoked: run `micro login`"
                );
            }
            Error::from(error)
        })?;
        match hint {
            Some(hint) if *hint != identity.namespace => Err(Api::forbidden(
                AUTH,
                format!(
                    "Account was not issued by {hint}: the token is of the namespace {}. Run `micro user namespace set {hint}`, or `micro login` again",
                    identity.namespace
                ),
            )
            .into()),
            _ => Ok(identity),
        }
    }
}

/// A refusal in the API's words.
pub(crate) fn refusal(refused: &Refused) -> Api {
    match refused {
        Refused::Invalid => Api::unauthorized(AUTH, "Invalid token"),
        Refused::Expired(_) => {
            Api::unauthorized(AUTH, "account is required: the token has expired, run `micro login`")
        }
        Refused::Blocked(_) => Api::forbidden(AUTH, refused.to_string()),
        Refused::Unavailable => Api::new(AUTH, 503, refused.to_string()),
    }
}

/// The credential of the `Authorization` header.
fn bearer(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let wrong = || Api::unauthorized(AUTH, "invalid authorization header. expected Bearer schema");
    let text = value.to_str().map_err(|_| wrong())?;
    let (scheme, credential) = text.split_once(' ').ok_or_else(wrong)?;
    if !scheme.eq_ignore_ascii_case("bearer") || credential.trim().is_empty() || values.next().is_some() {
        return Err(wrong().into());
    }
    Ok(Some(credential.trim().to_owned()))
}

fn namespace_hint(headers: &HeaderMap) -> Result<Option<Namespace>, Error> {
    let Some(value) = headers.get("micro-namespace") else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let parsed = text.parse::<Namespace>();
    parsed.map(Some).map_err(|error| Api::bad_request(AUTH, error.to_string()).into())
}

/// The client's address: the peer's, or what our own portal says of its visitor.
fn address(parts: &Parts, control: &Control) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_canonical();
    let secret = parts.headers.get("micro-portal").map(|value| value.as_bytes());
    let from_portal = secret.is_some_and(|secret| {
        let known = control.config.portal_secret.as_bytes();
        !known.is_empty() && bool::from(known.ct_eq(secret))
    });
    if !from_portal {
        return peer;
    }
    let claimed = parts.headers.get("x-forwarded-for").and_then(|value| value.to_str().ok()?.parse().ok());
    claimed.unwrap_or(peer)
}
