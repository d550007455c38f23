//! The keys of tokens.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ED25519, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Characters of a key's id: 96 bits of its RFC 7638 thumbprint.
const KID_LENGTH: usize = 16;
const ED25519_BYTES: usize = 32;
/// Bytes of an RSA modulus, 2048 to 8192 bits, and of an exponent. Source: `ring`.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
const EXPONENT_BYTES: std::ops::RangeInclusive<usize> = 1..=5;

/// The first byte of an exported key.
const EXPORT_VERSION: u8 = 1;
/// Version, form, time of making.
const EXPORT_HEAD_BYTES: usize = 1 + 1 + 8;

/// How tokens are signed. A key has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519. Source: RFC 8037.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256, Micro's own.
    Rs256,
}

impl Algorithm {
    /// As headers and JWKs spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }
}

/// Why a key cannot be made, read or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The system has no random numbers.
    #[error("cannot generate a key")]
    Generate,
    /// A text is no PEM of a private key.
    #[error("expected the PEM of a private key, beginning with -----BEGIN PRIVATE KEY-----")]
    Pem,
    /// Neither Ed25519 nor RSA of 2048 to 4096 bits, or damaged.
    #[error("only Ed25519 keys and RSA keys of 2048 to 4096 bits can sign tokens")]
    Private,
    /// Exported bytes are of another form, or damaged.
    #[error("the stored signing key cannot be read")]
    Stored,
    /// A JWK is no public key of a kind that signs tokens, or has another `kid` than its key.
    #[error("not the JWK of an Ed25519 or RSA public key")]
    Jwk,
    /// The claims make a token above the limit.
    #[error("the token has {size} bytes, at most {max} are allowed", max = super::TOKEN_BYTES_MAX)]
    TooLarge {
        /// Bytes.
        size: usize,
    },
    /// The key could not sign.
    #[error("cannot sign a token")]
    Signing,
}

/// A private key that signs tokens. Never shown.
pub struct SigningKey {
    pair: Pair,
    form: Form,
    der: Zeroizing<Vec<u8>>,
    public: PublicKey,
    created_ms: i64,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// How the DER is to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Pkcs8 = 1,
    /// RSA only: `-----BEGIN RSA PRIVATE KEY-----`.
    Pkcs1 = 2,
}

impl SigningKey {
    /// A new Ed25519 key, made at `created_ms` (Unix milliseconds).
    pub fn generate(created_ms: i64) -> Result<Self, KeyError> {
        let document =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Generate)?;
        Self::from_der(Form::Pkcs8, document.as_ref(), created_ms)
    }

    /// An operator's own key, RSA for RS256 or Ed25519: the PEM of PKCS#8 or, for RSA, PKCS#1. Not encrypted.
    pub fn from_pem(pem: &str, created_ms: i64) -> Result<Self, KeyError> {
        match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Pem)? {
            PrivateKeyDer::Pkcs8(der) => Self::from_der(Form::Pkcs8, der.secret_pkcs8_der(), created_ms),
            PrivateKeyDer::Pkcs1(der) => Self::from_der(Form::Pkcs1, der.secret_pkcs1_der(), created_ms),
            _ => Err(KeyError::Private),
        }
    }

    /// All of the key, to be sealed ([`crate::Sealer`]) and stored.
    pub fn export(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(EXPORT_HEAD_BYTES + self.der.len()));
        bytes.extend([EXPORT_VERSION, self.form as u8]);
        bytes.extend(self.created_ms.to_be_bytes());
        bytes.extend(&*self.der);
        bytes
    }

    /// Reads what [`Self::export`] wrote.
    pub fn import(bytes: &[u8]) -> Result<Self, KeyError> {
        let (head, der) = bytes.split_first_chunk::<EXPORT_HEAD_BYTES>().ok_or(KeyError::Stored)?;
        let [EXPORT_VERSION, form, created_ms @ ..] = *head else { return Err(KeyError::Stored) };
        let form = [Form::Pkcs8, Form::Pkcs1].into_iter().find(|known| *known as u8 == form);
        Self::from_der(form.ok_or(KeyError::Stored)?, der, i64::from_be_bytes(created_ms))
            .map_err(|_| KeyError::Stored)
    }

    /// What checks its signatures.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// See [`PublicKey::kid`].
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// When it was made, Unix milliseconds: what rotation goes by.
    pub fn created_ms(&self) -> i64 {
        self.created_ms
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| KeyError::Signing)?;
                Ok(signature)
            }
        }
    }

    fn from_der(form: Form, der: &[u8], created_ms: i64) -> Result<Self, KeyError> {
        let pair = match form {
            // Other tools write Ed25519 keys without the public half, and `ring` computes it then.
            Form::Pkcs8 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                .map(Pair::Ed25519)
                .or_else(|_| RsaKeyPair::from_pkcs8(der).map(|pair| Pair::Rsa(Box::new(pair)))),
            Form::Pkcs1 => RsaKeyPair::from_der(der).map(|pair| Pair::Rsa(Box::new(pair))),
        }
        .map_err(|_| KeyError::Private)?;
        let material = match &pair {
            Pair::Ed25519(pair) => {
                let bytes = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Private)?;
                Material::Ed25519(bytes)
            }
            Pair::Rsa(pair) => {
                let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                Material::Rsa { n, e }
            }
        };
        let der = Zeroizing::new(der.to_vec());
        Ok(Self { pair, form, der, public: PublicKey::new(material), created_ms })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {:?})", self.kid(), self.public.algorithm())
    }
}

/// The half of a key that anybody may have.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    kid: String,
    material: Material,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    Ed25519([u8; ED25519_BYTES]),
    /// Big-endian, without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

impl PublicKey {
    fn new(material: Material) -> Self {
        let mut kid = URL_SAFE_NO_PAD.encode(thumbprint(&material));
        kid.truncate(KID_LENGTH);
        Self { kid, material }
    }

    /// What tokens call it: 16 characters of base64url, of a hash of it (RFC 7638).
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm that it checks.
    pub fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Ed25519(_) => Algorithm::EdDsa,
            Material::Rsa { .. } => Algorithm::Rs256,
        }
    }

    /// The key as JWK (RFC 7517), which is also how it is stored.
    pub fn to_jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (kid, alg) = (&self.kid, self.algorithm().name());
        match &self.material {
            Material::Ed25519(x) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(x), "use": "sig", "alg": alg, "kid": kid })
            }
            Material::Rsa { n, e } => {
                json!({ "kty": "RSA", "n": encode(n), "e": encode(e), "use": "sig", "alg": alg, "kid": kid })
            }
        }
    }

    /// Reads a JWK. Its `kid` and `alg` may be absent, but not wrong.
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyError> {
        let text = |member: &str| jwk.get(member).and_then(Value::as_str);
        let bytes =
            |member| text(member).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(KeyError::Jwk);
        let material = match (text("kty"), text("crv")) {
            (Some("OKP"), Some("Ed25519")) => {
                Material::Ed25519(bytes("x")?.try_into().map_err(|_| KeyError::Jwk)?)
            }
            (Some("RSA"), None) => Material::Rsa { n: bytes("n")?, e: bytes("e")? },
            _ => return Err(KeyError::Jwk),
        };
        if let Material::Rsa { n, e } = &material {
            let padded = n.first() == Some(&0) || e.first() == Some(&0);
            if padded || !MODULUS_BYTES.contains(&n.len()) || !EXPONENT_BYTES.contains(&e.len()) {
                return Err(KeyError::Jwk);
            }
        }
        let key = Self::new(material);
        let agrees =
            |member: &str, own: &str| jwk.get(member).is_none_or(|given| given.as_str() == Some(own));
        if agrees("kid", &key.kid) && agrees("alg", key.algorithm().name()) {
            Ok(key)
        } else {
            Err(KeyError::Jwk)
        }
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Ed25519(x) => UnparsedPublicKey::new(&ED25519, x).verify(message, signature).is_ok(),
            Material::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {:?})", self.kid, self.algorithm())
    }
}

/// RFC 7638: the required members in alphabetical order, without space.
fn thumbprint(material: &Material) -> [u8; 32] {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let canonical = match material {
        Material::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(x)),
        Material::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encode(e), encode(n)),
    };
    Sha256::digest(canonical).into()
}

#[cfg(test)]
mod tests;
