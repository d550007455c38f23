//! Single sign-on: signing in with an account of an OpenID Connect provider that the operator named.

use serde::{Deserialize, Serialize};

use crate::person::SessionOpened;

/// `POST /v1/oidc`: begin to sign in. `POST /v1/me/identities`: begin to link, by a signed-in person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcStart {
    /// A text that comes back at the end: where the client goes on. At most 2 048 bytes. Nothing is checked of it:
    /// whoever follows it does.
    #[serde(default)]
    pub redirect_to: String,
}

/// What began. It ends by itself after 10 minutes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OidcStarted {
    /// Where the browser goes now. The provider sends it back to the portal.
    pub url: String,
    /// A secret for this one browser: without it nobody can finish what it began.
    pub browser: String,
    /// Seconds until it ends.
    pub expires_in: i64,
}

/// `POST /v1/oidc/finish`: what the provider sent the browser back with. What began as a link needs the person's own
/// credential too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcFinish {
    pub code: String,
    pub state: String,
    /// The provider that sent it (RFC 9207); empty: it did not say.
    #[serde(default)]
    pub iss: String,
    /// The secret of [`OidcStarted`].
    pub browser: String,
}

/// `POST /v1/oidc/factor`: the second factor of the person whom the provider named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcFactor {
    /// As [`OidcFinished::Factor`] gave it.
    pub ticket: String,
    /// The secret of [`OidcStarted`].
    pub browser: String,
    /// Six digits of the person's authenticator.
    pub totp: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum OidcFinished {
    /// The person is signed in.
    Opened {
        session: SessionOpened,
        /// As [`OidcStart`] had it.
        redirect_to: String,
        /// The account was made just now.
        new: bool,
    },
    /// The person has a second factor: `POST /v1/oidc/factor` with its code.
    Factor {
        /// Good for 10 minutes, with the same browser's secret.
        ticket: String,
    },
    /// The identity is linked to the person who asked.
    Linked {
        /// As [`OidcStart`] had it.
        redirect_to: String,
    },
}

/// An account at the provider that signs a person in. `GET /v1/me/identities`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Identity {
    pub id: String,
    /// The provider.
    pub issuer: String,
    /// The address that the provider named last, to tell identities apart; empty: none.
    pub email: String,
    pub created_ms: i64,
    /// When it signed the person in last; 0: never.
    pub used_ms: i64,
}
