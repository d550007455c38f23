//! A provider of single sign-on (OpenID Connect): where to send a browser, and whom the code that it comes back with
//! stands for. Code flow with PKCE; what the provider signs is checked by `micro_auth`.

mod fetch;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use micro_api::Error as Api;
use micro_auth::{Expected, IdClaims, IdTokenError, Secret};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::error::{Error, chain};
use fetch::Provider;

/// What a person is asked to let us know: who they are, and their address.
const SCOPES: &str = "openid email";

/// How the operator's provider is found, and what it knows us by.
#[derive(Debug, Clone)]
pub struct OidcConfig {
    /// As the provider spells it: `https://accounts.google.com`.
    pub issuer: String,
    pub client_id: String,
    /// `None`: a public client.
    pub client_secret: Option<Secret>,
    /// What people call the provider; for buttons.
    pub name: String,
    /// The provider's keys are not read again for an unknown one sooner than after this.
    pub keys_pause: Duration,
}

impl OidcConfig {
    /// A public client that asks for new keys at most once a minute.
    pub fn new(issuer: impl Into<String>, client_id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            client_id: client_id.into(),
            client_secret: None,
            name: name.into(),
            keys_pause: Duration::from_secs(60),
        }
    }

    /// The provider of this configuration; nothing is sent before somebody signs in.
    ///
    /// # Errors
    /// An issuer without TLS that is not on this machine, or one that is no URL; an empty name or client.
    pub fn open(self) -> Result<Oidc, OidcError> {
        if self.client_id.is_empty() || self.name.trim().is_empty() {
            return Err(OidcError::Config("a provider needs a client id and a name"));
        }
        let issuer = Url::parse(&self.issuer).map_err(|_| OidcError::Config("the issuer is not a URL"))?;
        if !is_safe(&issuer) {
            return Err(OidcError::Config("the issuer must begin with https://"));
        }
        if issuer.query().is_some() || issuer.fragment().is_some() {
            return Err(OidcError::Config("the issuer has a query or a fragment"));
        }
        Ok(Oidc(Arc::new(Provider::new(self)?)))
    }
}

/// What is sent there and read from there nobody else sees or changes.
fn is_safe(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(url::Host::Domain(name))) => name == "localhost",
        ("http", Some(url::Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(url::Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    }
}

/// Why nobody was signed in by a provider.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// A setting is wrong.
    #[error("{0}")]
    Config(&'static str),
    #[error("the provider cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It failed a moment ago, and is not asked again yet.
    #[error("the provider failed a moment ago")]
    Again,
    #[error("the provider answered the request for {what} with {status}")]
    Answer { what: &'static str, status: u16 },
    #[error("the provider's {what} is not what OpenID Connect says, or too large")]
    Malformed { what: &'static str },
    #[error("the configured issuer is {ours}, and the provider calls itself {theirs}")]
    Issuer { ours: String, theirs: String },
    /// The code was used before, is too old, or is not for us.
    #[error("the provider refused the code: {0}")]
    Code(String),
    /// The browser came back from another provider than it was sent to.
    #[error("the answer names the provider `{0}`")]
    Foreign(String),
    #[error(transparent)]
    Token(#[from] IdTokenError),
    #[error("the user information is of somebody else")]
    Mixed,
}

/// The operator's provider. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Oidc(Arc<Provider>);

/// What a browser takes to the provider. Digests and the verifier stay here.
pub(crate) struct Request<'a> {
    pub(crate) redirect_uri: &'a str,
    pub(crate) state: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) verifier: &'a str,
}

/// What a browser came back with, and what was noted when it left.
pub(crate) struct Answer<'a> {
    pub(crate) redirect_uri: &'a str,
    pub(crate) code: &'a str,
    /// Empty: it did not say.
    pub(crate) iss: &'a str,
    pub(crate) verifier: &'a str,
    /// SHA-256 of the nonce.
    pub(crate) nonce: &'a str,
}

impl Oidc {
    /// What people call it.
    pub fn name(&self) -> &str {
        &self.0.config.name
    }

    /// As the provider spells it.
    pub fn issuer(&self) -> &str {
        &self.0.config.issuer
    }

    /// Where a browser signs in.
    pub(crate) async fn authorization_url(&self, request: &Request<'_>) -> Result<String, OidcError> {
        let metadata = self.0.metadata().await?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(request.verifier));
        let mut url = metadata.authorization_endpoint.0.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.0.config.client_id)
            .append_pair("redirect_uri", request.redirect_uri)
            .append_pair("scope", SCOPES)
            .append_pair("state", request.state)
            .append_pair("nonce", request.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// Whom a code stands for.
    pub(crate) async fn exchange(&self, answer: &Answer<'_>, now_s: i64) -> Result<IdClaims, OidcError> {
        let metadata = self.0.metadata().await?;
        // Source: RFC 9207. A provider that says so always names itself.
        let silent = answer.iss.is_empty() && !metadata.names_itself;
        if !silent && answer.iss != self.issuer() {
            return Err(OidcError::Foreign(answer.iss.chars().take(200).collect()));
        }
        let tokens = self.0.tokens(&metadata, answer).await?;
        let config = &self.0.config;
        let (issuer, client_id, nonce) = (&config.issuer, &config.client_id, answer.nonce);
        let expected = Expected { issuer, client_id, nonce, now_s };
        let said = match self.0.keys(&metadata, false).await?.verify(&tokens.id_token, &expected) {
            // It may have a new key.
            Err(IdTokenError::UnknownKey) => {
                self.0.keys(&metadata, true).await?.verify(&tokens.id_token, &expected)
            }
            said => said,
        }?;
        match (&metadata.userinfo_endpoint, &tokens.access_token) {
            (Some(endpoint), Some(token)) if said.email.is_empty() => {
                let info = self.0.user_info(endpoint, token).await?;
                said.with_user_info(&info).ok_or(OidcError::Mixed)
            }
            _ => Ok(said),
        }
    }

    /// A failure in the words for the person in front of the browser; its cause is for the log.
    pub(crate) fn explain(&self, error: &OidcError) -> Error {
        let name = self.name();
        tracing::warn!(error = chain(error), issuer = self.issuer(), "Single sign-on failed");
        let api = match error {
            OidcError::Code(_) => {
                Api::bad_request(ID, format!("{name} did not confirm this sign-in: start again"))
            }
            OidcError::Foreign(_) | OidcError::Token(_) | OidcError::Mixed => {
                let detail = format!("what {name} said cannot be trusted, so nobody was signed in");
                Api::forbidden(ID, format!("{detail}: start again, and tell the operator if it stays"))
            }
            _ => Api::new(
                ID,
                503,
                format!("{name} does not answer as it should: try again in a minute, or sign in by password"),
            ),
        };
        api.into()
    }
}

/// Who failed, in errors about single sign-on.
pub(crate) const ID: &str = "oidc";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_has_tls_or_is_on_this_machine() {
        let open = |issuer: &str| OidcConfig::new(issuer, "micro", "Example").open();
        for good in [
            "https://accounts.google.com",
            "https://id.example.com/realms/x/",
            "http://localhost:3000",
            "http://127.0.0.1:3000",
            "http://[::1]:3000",
        ] {
            assert!(open(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "accounts.google.com",
            "http://accounts.google.com",
            "http://localhost.example.com",
            "http://10.0.0.1",
            "https://id.example.com/?x=1",
            "https://id.example.com/#x",
            "file:///etc/passwd",
            "javascript:alert(1)",
        ] {
            assert!(open(bad).is_err(), "{bad}");
        }
        assert!(OidcConfig::new("https://id.example.com", "", "Example").open().is_err());
        assert!(OidcConfig::new("https://id.example.com", "micro", " ").open().is_err());
    }
}
