//! ID tokens (OpenID Connect): what a provider says of somebody who signed in there, checked by the provider's keys.
//!
//! As access tokens, these are checked by `ring` and not by a library of their own: `openidconnect` brings the `rsa`
//! crate (RUSTSEC-2023-0071). Of the algorithms only those with a public key exist here, so that neither `none` nor an
//! HMAC with something public can be asked for. A key has one algorithm, whatever the token says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

use super::{Header, LEEWAY_S, Parts, decode};
use crate::key;

/// Bytes of an ID token: some providers list all groups of a person in it.
const ID_TOKEN_BYTES_MAX: usize = 32 * 1024;
/// Keys of a provider; more are not looked at.
const KEYS_MAX: usize = 100;
/// Bytes of a subject. Source: OpenID Connect Core 1.0, section 2.
const SUBJECT_BYTES_MAX: usize = 255;
const COORDINATE_BYTES: usize = 32;

/// The keys that a provider signs with.
#[derive(Debug, Clone, Default)]
pub struct ProviderKeys(Vec<ProviderKey>);

#[derive(Debug, Clone)]
struct ProviderKey {
    kid: Option<String>,
    material: Material,
}

#[derive(Debug, Clone)]
enum Material {
    Rs256 {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    Es256(Vec<u8>),
    EdDsa(Vec<u8>),
}

/// What an ID token must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The provider, as the operator named it.
    pub issuer: &'a str,
    /// Our name at the provider.
    pub client_id: &'a str,
    /// SHA-256 of the nonce that the browser was sent with, as [`key::digest`] makes it.
    pub nonce: &'a str,
    /// Unix seconds.
    pub now_s: i64,
}

/// What a provider said of somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdClaims {
    /// Its name for them, which it never gives to another.
    pub subject: String,
    /// Empty: it did not say.
    pub email: String,
    /// It vouches for the address.
    pub email_verified: bool,
}

/// Why an ID token was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    #[error("the ID token is malformed")]
    Malformed,
    /// None of RS256, ES256 and EdDSA, or not its key's.
    #[error("the ID token is signed in a way that is not accepted")]
    Algorithm,
    /// The provider may have a new key since its keys were read.
    #[error("the ID token was signed with an unknown key")]
    UnknownKey,
    #[error("the signature of the ID token is wrong")]
    Signature,
    #[error("the ID token is another provider's")]
    Issuer,
    #[error("the ID token is for another client")]
    Audience,
    #[error("the ID token answers another request")]
    Nonce,
    #[error("the ID token has expired")]
    Expired,
    #[error("the ID token is not valid yet: are the clocks right?")]
    NotYetValid,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    #[serde(default)]
    nbf: i64,
    nonce: Option<String>,
    email: Option<String>,
    email_verified: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl ProviderKeys {
    /// The keys of a JWK set that can check one of our algorithms; all others are for something else.
    pub fn from_jwks(jwks: &Value) -> Self {
        let keys = jwks.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Self(keys.iter().filter_map(ProviderKey::from_jwk).take(KEYS_MAX).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks an ID token.
    pub fn verify(&self, token: &str, expected: &Expected<'_>) -> Result<IdClaims, IdTokenError> {
        let parts = Parts::of(token, ID_TOKEN_BYTES_MAX).map_err(|_| IdTokenError::Malformed)?;
        let header: Header = decode(parts.header).map_err(|_| IdTokenError::Malformed)?;
        if header.crit.is_some() {
            return Err(IdTokenError::Malformed);
        }
        let key = self.pick(&header)?;
        let signature = URL_SAFE_NO_PAD.decode(parts.signature).map_err(|_| IdTokenError::Malformed)?;
        if !key.material.verify(parts.signed.as_bytes(), &signature) {
            return Err(IdTokenError::Signature);
        }
        let claims: Claims = decode(parts.claims).map_err(|_| IdTokenError::Malformed)?;
        claims.check(expected)?;
        let email_verified = is_true(claims.email_verified.as_ref());
        Ok(IdClaims {
            subject: claims.sub,
            email: claims.email.unwrap_or_default().trim().to_owned(),
            email_verified,
        })
    }

    /// The key that the header names; without a name the only one of its algorithm.
    fn pick(&self, header: &Header) -> Result<&ProviderKey, IdTokenError> {
        if !Material::NAMES.contains(&header.alg.as_str()) {
            return Err(IdTokenError::Algorithm);
        }
        let Some(kid) = &header.kid else {
            let mut fitting = self.0.iter().filter(|key| key.material.name() == header.alg);
            let first = fitting.next().ok_or(IdTokenError::UnknownKey)?;
            return if fitting.next().is_none() { Ok(first) } else { Err(IdTokenError::UnknownKey) };
        };
        let mut named = self.0.iter().filter(|key| key.kid.as_ref() == Some(kid)).peekable();
        if named.peek().is_none() {
            return Err(IdTokenError::UnknownKey);
        }
        named.find(|key| key.material.name() == header.alg).ok_or(IdTokenError::Algorithm)
    }
}

impl Claims {
    fn check(&self, expected: &Expected<'_>) -> Result<(), IdTokenError> {
        if self.iss != expected.issuer {
            return Err(IdTokenError::Issuer);
        }
        let (ours, others) = match &self.aud {
            Audience::One(one) => (one == expected.client_id, false),
            Audience::Many(many) => (
                many.iter().any(|one| one == expected.client_id),
                many.iter().any(|one| one != expected.client_id),
            ),
        };
        // Several may be named: then it must say that it was us who asked.
        let authorized = match &self.azp {
            Some(azp) => azp == expected.client_id,
            None => !others,
        };
        if !ours || !authorized {
            return Err(IdTokenError::Audience);
        }
        if self.nonce.as_deref().map(key::digest).as_deref() != Some(expected.nonce) {
            return Err(IdTokenError::Nonce);
        }
        if expected.now_s >= self.exp {
            return Err(IdTokenError::Expired);
        }
        let soon = expected.now_s.saturating_add(LEEWAY_S);
        if self.iat > soon || self.nbf > soon {
            return Err(IdTokenError::NotYetValid);
        }
        if self.sub.is_empty() || self.sub.len() > SUBJECT_BYTES_MAX {
            return Err(IdTokenError::Malformed);
        }
        Ok(())
    }
}

/// Some providers write the flag as a text.
fn is_true(value: Option<&Value>) -> bool {
    matches!(value, Some(Value::Bool(true))) || value.and_then(Value::as_str) == Some("true")
}

impl IdClaims {
    /// What the endpoint for user information says, about the same person: providers may leave the address out of ID
    /// tokens. `None`: it speaks of somebody else.
    pub fn with_user_info(mut self, info: &Value) -> Option<Self> {
        if info.get("sub").and_then(Value::as_str) != Some(&self.subject) {
            return None;
        }
        self.email = info.get("email").and_then(Value::as_str).unwrap_or_default().trim().to_owned();
        self.email_verified = is_true(info.get("email_verified"));
        Some(self)
    }
}

impl ProviderKey {
    fn from_jwk(jwk: &Value) -> Option<Self> {
        let text = |member: &str| jwk.get(member).and_then(Value::as_str);
        let bytes = |member: &str| URL_SAFE_NO_PAD.decode(text(member)?).ok();
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => Material::Rs256 { n: bytes("n")?, e: bytes("e")? },
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != COORDINATE_BYTES || y.len() != COORDINATE_BYTES {
                    return None;
                }
                Material::Es256([&[4], x.as_slice(), y.as_slice()].concat())
            }
            ("OKP", Some("Ed25519")) => Material::EdDsa(bytes("x")?),
            _ => return None,
        };
        if text("alg").is_some_and(|alg| alg != material.name()) {
            return None;
        }
        Some(Self { kid: text("kid").map(str::to_owned), material })
    }
}

impl Material {
    const NAMES: [&str; 3] = ["RS256", "ES256", "EdDSA"];

    fn name(&self) -> &'static str {
        match self {
            Self::Rs256 { .. } => "RS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rs256 { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            Self::Es256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            Self::EdDsa(x) => UnparsedPublicKey::new(&ED25519, x).verify(message, signature).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests;
