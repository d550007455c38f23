//! Tokens that prove a form came from one of our pages in the same session.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use rand::RngCore;
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// A form's token is the HMAC of what ties it to a browser: the session, or the random cookie of a visitor who has
/// none. The key lives as long as the process, so a form that was open over a restart has to be loaded again.
pub(crate) struct Csrf {
    key: [u8; 32],
}

/// What a token is tied to. The words differ so that a visitor's cookie can never stand for a session.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tie<'a> {
    Session(&'a str),
    Visit(&'a str),
}

impl Csrf {
    pub(crate) fn new() -> Self {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        Self { key }
    }

    pub(crate) fn token(&self, tie: Tie<'_>) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(tie))
    }

    /// Whether `token` is the one of `tie`, in a time that does not tell where they differ.
    pub(crate) fn check(&self, tie: Tie<'_>, token: &str) -> bool {
        let Ok(given) = URL_SAFE_NO_PAD.decode(token) else { return false };
        given.ct_eq(&self.mac(tie)).into()
    }

    fn mac(&self, tie: Tie<'_>) -> [u8; 32] {
        let (word, value) = match tie {
            Tie::Session(value) => ("session", value),
            Tie::Visit(value) => ("visit", value),
        };
        // The only error is a key of a length that HMAC does not take, and it takes all.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return [0; 32] };
        mac.update(word.as_bytes());
        mac.update(b":");
        mac.update(value.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for Csrf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Csrf")
    }
}

/// 128 random bits, as hexadecimal digits.
pub(crate) fn random_id() -> String {
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_session_only() {
        let csrf = Csrf::new();
        let token = csrf.token(Tie::Session("a"));
        assert!(csrf.check(Tie::Session("a"), &token));
        assert!(!csrf.check(Tie::Session("b"), &token));
        assert!(!csrf.check(Tie::Visit("a"), &token), "a visitor's cookie stood for a session");
        assert!(!Csrf::new().check(Tie::Session("a"), &token), "another process's key made the same token");
        for wrong in ["", "!", "AAAA", &token[1..], &format!("{token}A")] {
            assert!(!csrf.check(Tie::Session("a"), wrong), "{wrong}");
        }
    }
}
