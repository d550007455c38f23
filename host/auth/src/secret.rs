//! A text that must not show up in logs.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use crate::random;

/// Letters and digits: no character that a shell, an URL or a double click treats in its own way.
pub(crate) const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters of a random secret: 62^43 is just over 2^256.
const RANDOM_CHARACTERS: usize = 43;

/// A text that is shown to nobody: `Debug` hides it, comparing takes equally long whatever differs, and its memory is
/// overwritten when it goes.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Each caller is a place where the secret may leak: keep them few.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// `prefix` with 43 letters and digits after it: 256 random bits.
pub fn random_secret(prefix: &str) -> Secret {
    let mut text = String::with_capacity(prefix.len() + RANDOM_CHARACTERS);
    text.push_str(prefix);
    let mut drawn = random::text(BASE62, RANDOM_CHARACTERS);
    text.push_str(&drawn);
    drawn.zeroize();
    Secret(text)
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        *self == *other.0
    }
}

impl Eq for Secret {}

/// Takes as long for equal lengths, wherever the texts differ.
impl PartialEq<str> for Secret {
    fn eq(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shows_it() {
        #[derive(Debug)]
        struct Holder {
            #[expect(dead_code, reason = "only its text is looked at")]
            password: Secret,
        }
        let shown =
            format!("{:?} {:#?}", Secret::new("hunter2"), Holder { password: Secret::new("hunter2") });
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.starts_with("Secret(…)"), "{shown}");
    }

    #[test]
    fn equality_is_of_the_text() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
        assert!(Secret::new("a") == *"a");
    }

    #[test]
    fn random_ones_differ() {
        let first = random_secret("x_");
        assert_eq!(first.expose().len(), 45);
        assert!(first.expose().starts_with("x_"));
        assert!(first.expose()[2..].bytes().all(|byte| BASE62.contains(&byte)));
        assert_ne!(first, random_secret("x_"));
    }
}
