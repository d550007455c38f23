//! What is read from the provider: its description, its keys, and answers for one code. All of it is bounded, and no
//! redirect is followed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use micro_auth::{ProviderKeys, Secret};
use reqwest::{RequestBuilder, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::{Answer, OidcConfig, OidcError, is_safe};

/// Time of one request, and of connecting.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// What was read is read again after this, so that a key which the provider withdrew is forgotten.
const AGE_MAX: Duration = Duration::from_secs(60 * 60);
/// After a failure nobody waits for the provider for so long: they would queue up.
const REST: Duration = Duration::from_secs(5);
/// Characters of the provider's own words in the log.
const WORDS_MAX: usize = 200;

/// The provider, and what is known of it.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) config: OidcConfig,
    http: reqwest::Client,
    metadata: Mutex<Known<Metadata>>,
    keys: Mutex<Known<ProviderKeys>>,
}

#[derive(Debug)]
struct Known<T> {
    value: Option<Arc<T>>,
    /// When it was asked for last, and whether that failed.
    asked: Option<(Instant, bool)>,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { value: None, asked: None }
    }
}

/// The provider's description of itself, as far as it is read. Source: OpenID Connect Discovery 1.0.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: Endpoint,
    token_endpoint: Endpoint,
    jwks_uri: Endpoint,
    pub(super) userinfo_endpoint: Option<Endpoint>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default, rename = "authorization_response_iss_parameter_supported")]
    pub(super) names_itself: bool,
}

/// An address of the provider's, which is as safe as its issuer.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Endpoint(pub(super) Url);

impl TryFrom<String> for Endpoint {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        let url = Url::parse(&text).ok().filter(is_safe);
        url.map(Self).ok_or("an address of the provider's does not begin with https://")
    }
}

/// What a code gave.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) id_token: String,
    pub(super) access_token: Option<String>,
}

/// Why a code gave nothing. Source: RFC 6749, section 5.2.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Provider {
    pub(super) fn new(config: OidcConfig) -> Result<Self, OidcError> {
        let mut http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            // A provider closes what is idle whenever it likes, and a code that was sent at that moment must not be sent
            // again. Sign-ins are rare.
            .pool_max_idle_per_host(0)
            .user_agent("micro");
        // Beside the public authorities those of this machine: a company's provider often has one of its own.
        for certificate in rustls_native_certs::load_native_certs().certs {
            if let Ok(certificate) = reqwest::Certificate::from_der(&certificate) {
                http = http.add_root_certificate(certificate);
            }
        }
        if config.issuer.starts_with("http:") {
            http = http.no_proxy();
        }
        let http = http.build().map_err(OidcError::Unreachable)?;
        Ok(Self { config, http, metadata: Mutex::default(), keys: Mutex::default() })
    }

    pub(super) async fn metadata(&self) -> Result<Arc<Metadata>, OidcError> {
        let mut known = self.metadata.lock().await;
        if let Some(value) = known.answer(AGE_MAX)? {
            return Ok(value);
        }
        let path = format!("{}/.well-known/openid-configuration", self.config.issuer.trim_end_matches('/'));
        let fetched = async {
            let what = "description";
            let value = self.get(self.http.get(path), what).await?;
            let metadata: Metadata =
                serde_json::from_value(value).map_err(|_| OidcError::Malformed { what })?;
            metadata.check(&self.config.issuer)?;
            Ok(metadata)
        };
        let fetched = fetched.await;
        known.keep(fetched)
    }

    /// The keys; `anew`: those that are known did not suffice.
    pub(super) async fn keys(&self, metadata: &Metadata, anew: bool) -> Result<Arc<ProviderKeys>, OidcError> {
        let mut known = self.keys.lock().await;
        let age_max = if anew { self.config.keys_pause } else { AGE_MAX };
        if let Some(value) = known.answer(age_max)? {
            return Ok(value);
        }
        let fetched = async {
            let what = "key set";
            let keys =
                ProviderKeys::from_jwks(&self.get(self.http.get(metadata.jwks_uri.0.clone()), what).await?);
            if keys.is_empty() { Err(OidcError::Malformed { what }) } else { Ok(keys) }
        };
        let fetched = fetched.await;
        known.keep(fetched)
    }

    /// Exchanges a code.
    pub(super) async fn tokens(&self, metadata: &Metadata, answer: &Answer<'_>) -> Result<Tokens, OidcError> {
        let what = "tokens";
        let config = &self.config;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", answer.code),
            ("redirect_uri", answer.redirect_uri),
            ("code_verifier", answer.verifier),
        ];
        let mut request = self.http.post(metadata.token_endpoint.0.clone());
        match &config.client_secret {
            Some(secret) if metadata.takes_basic() => {
                request = request.basic_auth(encoded(&config.client_id), Some(encoded(secret.expose())));
            }
            Some(secret) => {
                form.extend([("client_id", config.client_id.as_str()), ("client_secret", secret.expose())]);
            }
            None => form.push(("client_id", &config.client_id)),
        }
        let request = request.header(header::ACCEPT, "application/json").form(&form);
        let response = request.send().await.map_err(OidcError::Unreachable)?;
        let status = response.status();
        let body = bounded(response, what).await?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|_| OidcError::Malformed { what });
        }
        // Only this is about the code; all else is about us, and the operator's matter.
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) if refusal.error == "invalid_grant" => {
                Err(OidcError::Code(refusal.error_description.chars().take(WORDS_MAX).collect()))
            }
            Ok(refusal) => {
                let words: String = refusal.error.chars().take(WORDS_MAX).collect();
                tracing::error!(error = words, "The provider of single sign-on refuses this platform");
                Err(OidcError::Answer { what, status: status.as_u16() })
            }
            Err(_) => Err(OidcError::Answer { what, status: status.as_u16() }),
        }
    }

    /// What else it says of whom an access token is for.
    pub(super) async fn user_info(&self, endpoint: &Endpoint, token: &str) -> Result<Value, OidcError> {
        let token = Secret::new(token);
        self.get(self.http.get(endpoint.0.clone()).bearer_auth(token.expose()), "user information").await
    }

    async fn get(&self, request: RequestBuilder, what: &'static str) -> Result<Value, OidcError> {
        let response = request.header(header::ACCEPT, "application/json").send().await;
        let response = response.map_err(OidcError::Unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(OidcError::Answer { what, status: response.status().as_u16() });
        }
        let body = bounded(response, what).await?;
        serde_json::from_slice(&body).map_err(|_| OidcError::Malformed { what })
    }
}

impl Metadata {
    fn check(&self, issuer: &str) -> Result<(), OidcError> {
        if self.issuer != issuer {
            let theirs = self.issuer.chars().take(WORDS_MAX).collect();
            return Err(OidcError::Issuer { ours: issuer.to_owned(), theirs });
        }
        Ok(())
    }

    /// How the client proves itself; what is not said is `client_secret_basic`.
    fn takes_basic(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref();
        methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"))
    }
}

impl<T> Known<T> {
    /// What can be answered without asking: what is young enough, or a failure that is too young.
    fn answer(&self, age_max: Duration) -> Result<Option<Arc<T>>, OidcError> {
        let Some((asked, failed)) = self.asked else { return Ok(None) };
        let age = asked.elapsed();
        match &self.value {
            Some(value) if age < age_max.min(if failed { REST } else { age_max }) => {
                Ok(Some(Arc::clone(value)))
            }
            None if failed && age < REST => Err(OidcError::Again),
            _ => Ok(None),
        }
    }

    /// Keeps what was read. After a failure what was known before still holds.
    fn keep(&mut self, fetched: Result<T, OidcError>) -> Result<Arc<T>, OidcError> {
        self.asked = Some((Instant::now(), fetched.is_err()));
        match (fetched, &self.value) {
            (Ok(value), _) => Ok(Arc::clone(self.value.insert(Arc::new(value)))),
            (Err(error), Some(value)) => {
                tracing::warn!(error = crate::error::chain(&error), "What is known of the provider is old");
                Ok(Arc::clone(value))
            }
            (Err(error), None) => Err(error),
        }
    }
}

/// As the parts of basic authentication are written. Source: RFC 6749, section 2.3.1.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn bounded(mut response: Response, what: &'static str) -> Result<Vec<u8>, OidcError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(OidcError::Unreachable)? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(OidcError::Malformed { what });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
