//! Access tokens: JWTs that the gateway can check without asking anybody.
//!
//! Compact JWS (RFC 7515) with Ed25519 (RFC 8037) or, for an operator's own key, RS256. This is written on `ring` and
//! not taken from `jsonwebtoken`, which since version 10 wants aws-lc or the `rsa` crate (RUSTSEC-2023-0071), or a
//! provider that is global to the process; what is left without its backends is below. A token says nothing about how it
//! is to be checked: its `kid` picks one of our keys, the key has one algorithm, and every other header is ignored.

mod id;
mod key;

pub use id::{Expected, IdClaims, IdTokenError, ProviderKeys};
pub use key::{Algorithm, KeyError, PublicKey, SigningKey};

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Bytes of a token. A larger one is neither made nor looked at.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Seconds that the clock of whoever signed may be ahead of ours. `exp` gets none.
pub const LEEWAY_S: i64 = 30;

/// What kind of account a token is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountType {
    /// A person.
    User,
    /// A service.
    Service,
    /// An API key.
    ApiKey,
}

impl AccountType {
    /// As tokens and [`micro_api::auth::Account`] spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::ApiKey => "apikey",
        }
    }
}

/// What a token says. The names are Micro's and RFC 7519's; times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The namespace that the account belongs to.
    pub iss: String,
    /// The platform's URL.
    pub aud: String,
    /// The account's id.
    pub sub: String,
    #[serde(rename = "type")]
    pub account_type: AccountType,
    pub scopes: Vec<String>,
    pub metadata: BTreeMap<String, String>,
    /// The name to show, where it differs from `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Made at.
    pub iat: i64,
    /// Not valid before.
    pub nbf: i64,
    /// Not valid from then on.
    pub exp: i64,
    /// The token's own id.
    pub jti: String,
    /// The session that it came from, so that it ends with it. Services have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
}

/// Why a token was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Too large, or no JWT with our claims.
    #[error("the token is malformed")]
    Malformed,
    /// It names no key, or none that is accepted (any more).
    #[error("the token was signed with an unknown key")]
    UnknownKey,
    /// It names another algorithm than its key has.
    #[error("the token names the wrong algorithm")]
    Algorithm,
    /// It was not signed by the key that it names, or was changed.
    #[error("the signature of the token is wrong")]
    Signature,
    /// Its time is over.
    #[error("the token expired {since_s} s ago")]
    Expired {
        /// Seconds since then, 0 in the very first.
        since_s: i64,
    },
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It was made for another platform.
    #[error("the token is for another audience")]
    Audience,
}

/// The public keys that are accepted: all that is needed to check tokens, and nothing that could make one.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    keys: BTreeMap<String, PublicKey>,
}

impl Verifier {
    /// Accepts what any of `keys` signed.
    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self { keys: keys.into_iter().map(|key| (key.kid().to_owned(), key)).collect() }
    }

    /// Reads the keys of a JWK set as [`Self::jwks`] writes it.
    pub fn from_jwks(jwks: &Value) -> Result<Self, KeyError> {
        let keys = jwks.get("keys").and_then(Value::as_array).ok_or(KeyError::Jwk)?;
        Ok(Self::new(keys.iter().map(PublicKey::from_jwk).collect::<Result<_, _>>()?))
    }

    /// Checks a token for the platform whose URL is `audience`, at `now_s` (Unix seconds). `nbf` and `iat` may be
    /// [`LEEWAY_S`] ahead; at `exp` a token is over.
    pub fn verify(&self, token: &str, audience: &str, now_s: i64) -> Result<Claims, TokenError> {
        let parts = Parts::of(token, TOKEN_BYTES_MAX)?;
        let header: Header = decode(parts.header)?;
        // A critical header changes what a token means; RFC 7515 wants what we do not know to be refused.
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let key = header.kid.and_then(|kid| self.keys.get(&kid)).ok_or(TokenError::UnknownKey)?;
        if header.alg != key.algorithm().name() {
            return Err(TokenError::Algorithm);
        }
        let signature = URL_SAFE_NO_PAD.decode(parts.signature).map_err(|_| TokenError::Malformed)?;
        if !key.verify(parts.signed.as_bytes(), &signature) {
            return Err(TokenError::Signature);
        }
        let claims: Claims = decode(parts.claims)?;
        if claims.aud != audience {
            return Err(TokenError::Audience);
        }
        let soon = now_s.saturating_add(LEEWAY_S);
        if claims.nbf > soon || claims.iat > soon {
            return Err(TokenError::NotYetValid);
        }
        if now_s >= claims.exp {
            return Err(TokenError::Expired { since_s: now_s.saturating_sub(claims.exp) });
        }
        Ok(claims)
    }

    /// The JWK set (RFC 7517) of all accepted keys, for `/.well-known/jwks.json`.
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.keys.values().map(PublicKey::to_jwk).collect::<Vec<_>>() })
    }
}

/// The key that signs, and the ones that are accepted beside it.
///
/// To rotate: accept the new key's public half everywhere, then sign with it, and drop the old one when the last token
/// that it signed is over.
pub struct Keyring {
    active: SigningKey,
    verifier: Verifier,
}

impl Keyring {
    /// `active` signs and is accepted; `accepted` ones are accepted.
    pub fn new(active: SigningKey, mut accepted: Vec<PublicKey>) -> Self {
        accepted.push(active.public().clone());
        Self { active, verifier: Verifier::new(accepted) }
    }

    /// Makes the token of `claims`.
    ///
    /// Fails with `TooLarge` above [`TOKEN_BYTES_MAX`], and with `Signing` when the system has no random numbers for an
    /// RSA signature.
    pub fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        let public = self.active.public();
        let header = json!({ "alg": public.algorithm().name(), "typ": "JWT", "kid": public.kid() });
        let claims = serde_json::to_vec(claims).map_err(|_| KeyError::Signing)?;
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.active.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        if token.len() > TOKEN_BYTES_MAX { Err(KeyError::TooLarge { size: token.len() }) } else { Ok(token) }
    }

    /// See [`Verifier::verify`].
    pub fn verify(&self, token: &str, audience: &str, now_s: i64) -> Result<Claims, TokenError> {
        self.verifier.verify(token, audience, now_s)
    }

    /// See [`Verifier::jwks`].
    pub fn jwks(&self) -> Value {
        self.verifier.jwks()
    }

    /// The half that checks, to be given to whoever only checks.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The key that signs.
    pub fn active(&self) -> &SigningKey {
        &self.active
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("active", &self.active).field("verifier", &self.verifier).finish()
    }
}

/// What anybody can write into a token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Unverified {
    /// See [`Claims::iss`].
    pub iss: String,
    /// See [`Claims::exp`].
    pub exp: i64,
}

/// Reads a token WITHOUT checking it, for the text of an error: `Account was not issued by …`. Nothing may be decided by
/// what it says.
pub fn peek_unverified(token: &str) -> Option<Unverified> {
    decode(Parts::of(token, TOKEN_BYTES_MAX).ok()?.claims).ok()
}

/// The header, as far as it is read. `jku`, `jwk`, `x5u` and their like would let a token bring its own key.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde::de::IgnoredAny>,
}

/// The pieces of a token, still encoded.
struct Parts<'a> {
    header: &'a str,
    claims: &'a str,
    signature: &'a str,
    /// What was signed: header, dot, claims.
    signed: &'a str,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str, bytes_max: usize) -> Result<Self, TokenError> {
        if token.len() > bytes_max {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        Ok(Self { header, claims, signature, signed })
    }
}

/// One piece. A fourth piece would leave a dot in the second, which is not of base64's alphabet.
fn decode<T: serde::de::DeserializeOwned>(piece: &str) -> Result<T, TokenError> {
    let json = URL_SAFE_NO_PAD.decode(piece).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests;
