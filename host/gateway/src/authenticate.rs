//! Who asks? Only here a [`Caller`] is made of a request.

use std::sync::Arc;

use http::HeaderValue;
use http::header::{self, HeaderMap};
use micro_api::Error;
use micro_auth::{Credential, Identity, OpaqueKind, Refused, Subject};
use micro_capability::{Account, client::CallOrigin};

use crate::credential::{self, Sent};
use crate::handle::Visitor;
use crate::place::GATEWAY;
use crate::rate::Left;
use crate::respond::Refusal;
use crate::{Gateway, headers};

/// What makes a browser forget a token that is no good: it would be refused everywhere else.
const FORGET: HeaderValue =
    HeaderValue::from_static("micro-token=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");

/// Who makes a call, as far as it is known.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// No credential was shown.
    Nobody,
    Known(Arc<Identity>),
    /// A service calls, for itself or for whoever called it.
    Service {
        /// Whom the rules are asked about.
        subject: Account,
        /// Whom the callee sees: whoever called first.
        forwarded: Option<Account>,
    },
}

impl Caller {
    /// A service's call, as part of another call or of none.
    ///
    /// The rules are asked about whoever called first, if that is an account of the same namespace. A stranger's call
    /// went into a service that strangers may call: what that one does next it does by itself, whether or not the
    /// stranger has signed in somewhere.
    pub(crate) fn service(origin: &CallOrigin) -> Self {
        let namespace = origin.scope.namespace.as_str();
        let forwarded = origin.context.account.clone();
        let own = forwarded.clone().filter(|account| account.issuer == namespace);
        let subject = own.unwrap_or_else(|| Account {
            id: origin.scope.service.to_string(),
            kind: "service".to_owned(),
            issuer: namespace.to_owned(),
            scopes: Vec::new(),
        });
        Self::Service { subject, forwarded }
    }

    /// As the rules see it.
    pub(crate) fn subject(&self) -> Option<Subject<'_>> {
        match self {
            Self::Nobody => None,
            Self::Known(identity) => Some(Subject {
                id: &identity.id,
                issuer: identity.namespace.as_str(),
                scopes: &identity.scopes,
            }),
            Self::Service { subject, .. } => {
                Some(Subject { id: &subject.id, issuer: &subject.issuer, scopes: &subject.scopes })
            }
        }
    }

    /// As the service that is called sees it.
    pub(crate) fn account(&self) -> Option<Account> {
        match self {
            Self::Nobody => None,
            Self::Known(identity) => {
                let account = identity.account();
                Some(Account {
                    id: account.id,
                    kind: account.kind,
                    issuer: account.issuer,
                    scopes: account.scopes,
                })
            }
            Self::Service { forwarded, .. } => forwarded.clone(),
        }
    }
}

/// A caller, and what its own limits have left.
pub(crate) struct Arrived {
    pub(crate) caller: Caller,
    pub(crate) left: Option<Left>,
    /// What the caller showed.
    pub(crate) token: Option<Arc<str>>,
}

impl Gateway {
    /// Takes the credential off a request and says whose it is.
    ///
    /// # Errors
    /// 401 for a credential that is no good, 403 for one whose owner is blocked, 429 above the caller's own limits, 503
    /// while credentials cannot be checked.
    pub(crate) async fn authenticate(
        &self,
        headers: &mut HeaderMap,
        visitor: &Visitor,
    ) -> Result<Arrived, Refusal> {
        let found = credential::find(headers, &visitor.host, visitor.client.scheme);
        credential::strip(headers);
        let address = visitor.client.address;
        let Some(sent) =
            found.map_err(|error| Refusal::from(error).header(header::WWW_AUTHENTICATE, BEARER))?
        else {
            let left = self.rates.anonymous(address)?;
            return Ok(Arrived { caller: Caller::Nobody, left, token: None });
        };
        self.rates.may_guess(address)?;
        match self.identity(&sent.token).await {
            Ok(identity) => {
                let arrived = self.vouched(headers, Some(identity))?;
                Ok(Arrived { token: Some(sent.token.into()), ..arrived })
            }
            Err(refused) => {
                if refused == Refused::Invalid {
                    self.rates.guessed(address);
                }
                Err(refusal(&refused, &sent))
            }
        }
    }

    /// A caller whom somebody else has authenticated.
    pub(crate) fn vouched(
        &self,
        headers: &mut HeaderMap,
        identity: Option<Arc<Identity>>,
    ) -> Result<Arrived, Refusal> {
        let Some(identity) = identity else {
            return Ok(Arrived { caller: Caller::Nobody, left: None, token: None });
        };
        let left = self.rates.account(&identity)?;
        let caller = Caller::Known(identity);
        if let Some(account) = caller.account() {
            headers::set_account(headers, &account);
        }
        Ok(Arrived { caller, left, token: None })
    }

    /// The identity behind a bearer token. Sessions, refresh tokens and the like are for the control plane alone.
    async fn identity(&self, token: &str) -> Result<Arc<Identity>, Refused> {
        let not_for_services =
            OpaqueKind::ALL.into_iter().filter(|kind| *kind != OpaqueKind::Key).map(OpaqueKind::prefix);
        if not_for_services.into_iter().any(|prefix| token.starts_with(prefix)) {
            return Err(Refused::Invalid);
        }
        let identity = self.authenticator.authenticate(token).await?;
        if identity.credential == Credential::Session { Err(Refused::Invalid) } else { Ok(identity) }
    }
}

/// What a 401 without a credential asks for.
pub(crate) const BEARER: HeaderValue = HeaderValue::from_static("Bearer");
const INVALID: HeaderValue = HeaderValue::from_static("Bearer error=\"invalid_token\"");

fn refusal(refused: &Refused, sent: &Sent) -> Refusal {
    let (code, detail) = match refused {
        Refused::Invalid if OpaqueKind::ALL.iter().any(|kind| is_other(*kind, &sent.token)) => (
            401,
            "Invalid token: sessions and refresh tokens are not for calling services: use an access token or an API key"
                .to_owned(),
        ),
        Refused::Invalid => (401, format!("{refused}: it may have been revoked: run `micro login`")),
        Refused::Expired(_) => (401, refused.to_string()),
        Refused::Blocked(_) => (403, refused.to_string()),
        Refused::Unavailable => (503, refused.to_string()),
    };
    let mut refusal = Refusal::from(Error::new(GATEWAY, code, detail));
    if code == 401 {
        refusal = refusal.header(header::WWW_AUTHENTICATE, INVALID);
        if sent.by_cookie {
            refusal = refusal.header(header::SET_COOKIE, FORGET);
        }
    }
    if code == 503 { refusal.retry_after(1) } else { refusal }
}

fn is_other(kind: OpaqueKind, token: &str) -> bool {
    kind != OpaqueKind::Key && token.starts_with(kind.prefix())
}
