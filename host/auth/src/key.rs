//! Opaque credentials: random texts that mean something only to the platform, which keeps their digests.
//!
//! `micro_` and its relatives are prefixes that secret scanners can be told; the checksum at the end lets them, and us,
//! tell a credential from a text that looks like one without asking anybody. Source of the format: GitHub's tokens.

mod code;
mod name;

pub use code::{code, parse_user_code, user_code};
pub use name::namespace_name;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

use crate::random;
use crate::secret::{BASE62, Secret};

/// Random characters of a credential: 214 bits.
const RANDOM_LENGTH: usize = 36;
/// Base-62 digits of a CRC-32.
const CHECKSUM_LENGTH: usize = 6;

/// What an opaque credential is for. The prefix tells, so that one is never taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpaqueKind {
    /// An API key, `micro_…`.
    Key,
    /// A session of the web or of the command line, `micros_…`.
    Session,
    /// What gets the next access token, `micror_…`.
    Refresh,
    /// An invitation, or another code that works once, `microi_…`.
    Invitation,
    /// What a device asks with while its person signs in elsewhere, `microd_…`.
    Device,
}

impl OpaqueKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Key, Self::Session, Self::Refresh, Self::Invitation, Self::Device];

    /// What its credentials begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Key => "micro_",
            Self::Session => "micros_",
            Self::Refresh => "micror_",
            Self::Invitation => "microi_",
            Self::Device => "microd_",
        }
    }
}

/// Makes and recognises opaque credentials.
#[derive(Debug)]
pub struct Opaque;

impl Opaque {
    /// A new credential: the prefix, 36 random letters and digits, and 6 of the CRC-32 over all before.
    #[expect(clippy::new_ret_no_self, reason = "a credential is a secret; nothing else is to be kept of it")]
    pub fn new(kind: OpaqueKind) -> Secret {
        let prefix = kind.prefix();
        let mut text = String::with_capacity(prefix.len() + RANDOM_LENGTH + CHECKSUM_LENGTH);
        text.push_str(prefix);
        let mut drawn = random::text(BASE62, RANDOM_LENGTH);
        text.push_str(&drawn);
        drawn.zeroize();
        text.extend(checksum(text.as_bytes()).map(char::from));
        Secret::new(text)
    }

    /// What kind of credential `text` can be. `None`: it is none, whatever the database holds. Allocates nothing, so
    /// that rubbish costs nothing.
    pub fn parse(text: &str) -> Option<OpaqueKind> {
        let text = text.as_bytes();
        let kind = OpaqueKind::ALL.into_iter().find(|kind| {
            text.len() == kind.prefix().len() + RANDOM_LENGTH + CHECKSUM_LENGTH
                && text.starts_with(kind.prefix().as_bytes())
        })?;
        let (start, sum) = text.split_at(text.len() - CHECKSUM_LENGTH);
        let readable = start[kind.prefix().len()..].iter().all(u8::is_ascii_alphanumeric);
        (readable && sum == checksum(start)).then_some(kind)
    }
}

/// What is stored of a credential: the SHA-256 of it as 64 hex digits. A credential is random enough that nobody finds
/// it by trying, so that the hash need not be slow; a password belongs to [`crate::Passwords`].
pub fn digest(credential: &str) -> String {
    hex::encode(Sha256::digest(credential.as_bytes()))
}

/// The CRC-32 of `bytes`, as base-62 digits, the highest first.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    let mut rest = crc32fast::hash(bytes) as usize;
    let mut digits = [0; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % BASE62.len()];
        rest /= BASE62.len();
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_new_one_is_recognised_as_its_kind() {
        for kind in OpaqueKind::ALL {
            let credential = Opaque::new(kind);
            assert_eq!(Opaque::parse(credential.expose()), Some(kind));
            assert_eq!(credential.expose().len(), kind.prefix().len() + 42);
            assert_ne!(credential, Opaque::new(kind));
        }
    }

    #[test]
    fn the_format_is_pinned() {
        let start = format!("micro_{}", "0".repeat(36));
        let text = format!("{start}{}", String::from_utf8(checksum(start.as_bytes()).to_vec()).unwrap());
        // The checksum is what Python's `zlib.crc32` says.
        assert_eq!(text, "micro_0000000000000000000000000000000000001KYBqY");
        assert_eq!(Opaque::parse(&text), Some(OpaqueKind::Key));
    }

    #[test]
    fn one_kind_is_never_taken_for_another() {
        let key = Opaque::new(OpaqueKind::Key);
        let body = key.expose().strip_prefix("micro_").unwrap();
        for prefix in ["micros_", "micror_", "microi_", "microd_", "MICRO_", "micro-", ""] {
            assert_eq!(Opaque::parse(&format!("{prefix}{body}")), None, "{prefix}");
        }
    }

    #[test]
    fn what_is_no_credential_is_refused() {
        let key = Opaque::new(OpaqueKind::Key);
        let key = key.expose();
        for length in 0..key.len() {
            assert_eq!(Opaque::parse(&key[..length]), None, "{length} characters");
        }
        for text in [format!("{key}0"), format!(" {key}"), format!("{key}\n"), key.to_uppercase()] {
            assert_eq!(Opaque::parse(&text), None, "{text:?}");
        }
        // The checksum is right, a character is none of ours.
        let start = format!("micro_{}-", "0".repeat(35));
        let text = format!("{start}{}", String::from_utf8(checksum(start.as_bytes()).to_vec()).unwrap());
        assert_eq!(Opaque::parse(&text), None);
    }

    #[test]
    fn the_digest_is_sha256() {
        assert_eq!(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    proptest! {
        #[test]
        fn a_changed_character_is_noticed(at in 0usize..48, with in "[0-9A-Za-z_]") {
            let key = Opaque::new(OpaqueKind::Key);
            let mut changed = key.expose().to_owned();
            changed.replace_range(at..=at, &with);
            prop_assert_eq!(Opaque::parse(&changed).is_some(), changed == key.expose());
        }

        #[test]
        fn any_text_can_be_asked_about(text in "\\PC{0,64}") {
            prop_assert_eq!(Opaque::parse(&text), None);
        }
    }
}
