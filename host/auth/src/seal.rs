//! Secrets at rest: what the database keeps encrypted, so that a copy of it gives nothing away.
//!
//! A sealed value is `v1.<key id>.<base64url of nonce and ciphertext>`, XChaCha20-Poly1305. Its nonces are long enough to
//! be drawn at random for ever. What is sealed for one context does not open in another, so nobody who can write to the
//! database gets a secret opened by copying it into a row of their own.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use ring::hmac;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::random;
use crate::secret::Secret;

const VERSION: &str = "v1";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// Bytes of a hash that name a key.
const ID_BYTES: usize = 4;

/// The 32 bytes that everything else is sealed with. Its text is never shown.
#[derive(Clone)]
pub struct MasterKey {
    id: String,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl MasterKey {
    /// A new key.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        random::fill(&mut *bytes);
        Self::from_bytes(&bytes)
    }

    /// Takes the bytes as they are; they have to be random ones.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        let named = Sha256::new().chain_update("micro master key id\0").chain_update(bytes).finalize();
        Self { id: hex::encode(&named[..ID_BYTES]), bytes: Zeroizing::new(*bytes) }
    }

    /// Reads a key as it stands in a file or a variable: 32 bytes as 64 hex digits or as base64 of either alphabet, with
    /// or without padding; space around it does not count.
    ///
    /// Fails for any other text, and for a key of one byte repeated, which somebody wrote as a placeholder.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let text = text.trim();
        let decoded = if text.len() == 2 * KEY_BYTES {
            hex::decode(text).ok()
        } else {
            [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
                .iter()
                .find_map(|engine| engine.decode(text).ok())
        };
        let mut decoded = decoded.ok_or(SealError::MasterKey)?;
        let bytes = <[u8; KEY_BYTES]>::try_from(decoded.as_slice()).map(Zeroizing::new);
        decoded.zeroize();
        let bytes = bytes.map_err(|_| SealError::MasterKey)?;
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(SealError::MasterKey);
        }
        Ok(Self::from_bytes(&bytes))
    }

    /// The key as 64 hex digits, to be written to a file once.
    pub fn to_text(&self) -> Secret {
        Secret::new(hex::encode(self.bytes.as_slice()))
    }

    /// What sealed values call it: 8 hex digits of a hash of it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A key for one purpose, which says nothing of this one or of the key of any other purpose.
    fn derive(&self, purpose: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &*self.bytes));
        context.update(b"micro derived key\0");
        context.update(purpose.as_bytes());
        let mut derived = Zeroizing::new([0; KEY_BYTES]);
        derived.copy_from_slice(context.sign().as_ref());
        derived
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.bytes).into())
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

/// Why a sealed value did not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is not of the form `v1.<key id>.<base64url>`.
    #[error("a sealed value is malformed")]
    Malformed,
    /// It was sealed with a key that this process was not given.
    #[error("a sealed value needs the master key {0}, which is not among the given ones")]
    UnknownKey(String),
    /// It was changed, or sealed for another context.
    #[error("a sealed value was changed or belongs elsewhere")]
    Refused,
    /// A text is no master key. Does not repeat the text.
    #[error("a master key must be 32 random bytes, as 64 hex digits or as base64")]
    MasterKey,
}

/// Seals with one key, and opens what that key or an earlier one sealed.
pub struct Sealer {
    current: MasterKey,
    previous: BTreeMap<String, MasterKey>,
}

impl Sealer {
    /// `previous` keys only open.
    pub fn new(current: MasterKey, previous: Vec<MasterKey>) -> Self {
        Self { current, previous: previous.into_iter().map(|key| (key.id.clone(), key)).collect() }
    }

    /// Seals `plain` for `context`, which names the one place where it will be opened, such as `totp/<person>`. The
    /// answer is 4/3 the length of `plain` and 66 bytes more.
    pub fn seal(&self, context: &str, plain: &[u8]) -> String {
        let mut nonce = [0; NONCE_BYTES];
        random::fill(&mut nonce);
        let payload = Payload { msg: plain, aad: context.as_bytes() };
        #[expect(clippy::expect_used, reason = "the cipher refuses nothing but more than 256 GiB")]
        let ciphertext = self
            .current
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a plaintext that fits into memory");
        let body = URL_SAFE_NO_PAD.encode([nonce.as_slice(), &ciphertext].concat());
        format!("{VERSION}.{}.{body}", self.current.id)
    }

    /// Opens what [`Self::seal`] sealed for the same `context`.
    pub fn open(&self, context: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (id, body) = parts(sealed)?;
        let key = if id == self.current.id { Some(&self.current) } else { self.previous.get(id) };
        let key = key.ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| SealError::Malformed)?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Malformed)?;
        if ciphertext.len() < TAG_BYTES {
            return Err(SealError::Malformed);
        }
        let payload = Payload { msg: ciphertext, aad: context.as_bytes() };
        let plain = key.cipher().decrypt(&XNonce::from(*nonce), payload);
        plain.map(Zeroizing::new).map_err(|_| SealError::Refused)
    }

    /// Keys for `purpose` alone, the current master key's first: make with that one, and take what any of them made. All
    /// who have the same master key have the same ones.
    pub fn derive(&self, purpose: &str) -> Vec<Zeroizing<[u8; 32]>> {
        let keys = std::iter::once(&self.current).chain(self.previous.values());
        keys.map(|key| key.derive(purpose)).collect()
    }

    /// The id of the key that seals.
    pub fn id(&self) -> &str {
        &self.current.id
    }

    /// Whether the current key sealed it. What is not current is opened and sealed anew when keys rotate.
    pub fn is_current(&self, sealed: &str) -> bool {
        parts(sealed).is_ok_and(|(id, _)| id == self.current.id)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("current", &self.current).finish_non_exhaustive()
    }
}

/// The id of the master key that a value is sealed by.
pub fn sealed_by(sealed: &str) -> Result<&str, SealError> {
    parts(sealed).map(|(id, _)| id)
}

/// The key's id and the body.
fn parts(sealed: &str) -> Result<(&str, &str), SealError> {
    let (version, rest) = sealed.split_once('.').ok_or(SealError::Malformed)?;
    let (id, body) = rest.split_once('.').ok_or(SealError::Malformed)?;
    let well_formed = version == VERSION
        && id.len() == 2 * ID_BYTES
        && id.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
    if well_formed { Ok((id, body)) } else { Err(SealError::Malformed) }
}

#[cfg(test)]
mod tests;
