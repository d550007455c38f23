//! Secrets of namespaces: sealed by a key of the namespace's own, which the master key seals. So a new master key
//! reseals one key a namespace, and no secret opens in another namespace or under another path.

use micro_api::Namespace;
use micro_auth::{MasterKey, SealError, Sealer, Secret};
use micro_db::SealedSecret;

use crate::seal;

/// The secrets of one namespace, while they are worked with.
pub struct Vault {
    namespace: Namespace,
    own: Sealer,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Vault {
    /// Opens the namespace's key.
    ///
    /// # Errors
    /// When `sealed_key` is another namespace's, was changed, or needs a master key that was not given.
    pub fn open(sealer: &Sealer, namespace: &Namespace, sealed_key: &str) -> Result<Self, SealError> {
        let text = sealer.open(&seal::config_key(namespace.as_str()), sealed_key)?;
        let key = MasterKey::parse(&String::from_utf8_lossy(&text))?;
        Ok(Self { namespace: namespace.clone(), own: Sealer::new(key, Vec::new()) })
    }

    /// A new key for a namespace that has none, sealed.
    pub(crate) fn new_key(sealer: &Sealer, namespace: &Namespace) -> String {
        let text = MasterKey::generate().to_text();
        sealer.seal(&seal::config_key(namespace.as_str()), text.expose().as_bytes())
    }

    /// Seals the text of the secret at `path`.
    pub(crate) fn seal(&self, path: &str, text: &Secret) -> String {
        self.own.seal(&self.context(path), text.expose().as_bytes())
    }

    /// The text of a secret.
    ///
    /// # Errors
    /// When it was sealed for another path or namespace, or was changed.
    pub fn text(&self, secret: &SealedSecret) -> Result<Secret, SealError> {
        let plain = self.own.open(&self.context(&secret.name), &secret.sealed)?;
        std::str::from_utf8(&plain).map(Secret::new).map_err(|_| SealError::Malformed)
    }

    fn context(&self, path: &str) -> String {
        format!("config_secrets.sealed {} {path}", self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_at_its_place_alone() {
        let sealer = Sealer::new(MasterKey::from_bytes(&[7; 32]), Vec::new());
        let (own, other): (Namespace, Namespace) = ("own".parse().unwrap(), "other".parse().unwrap());
        let key = Vault::new_key(&sealer, &own);
        assert_ne!(key, Vault::new_key(&sealer, &own));
        let vault = Vault::open(&sealer, &own, &key).unwrap();
        let sealed = vault.seal("a.b", &Secret::new("planted"));
        let at = |name: &str| SealedSecret { name: name.to_owned(), sealed: sealed.clone() };
        assert_eq!(vault.text(&at("a.b")).unwrap().expose(), "planted");
        assert_eq!(vault.text(&at("a.c")).err(), Some(SealError::Refused));
        assert_eq!(Vault::open(&sealer, &other, &key).err(), Some(SealError::Refused));
        let foreign = Vault::open(&sealer, &other, &Vault::new_key(&sealer, &other)).unwrap();
        assert!(foreign.text(&at("a.b")).is_err());
        assert!(!format!("{vault:?} {:?} {sealed}", at("a.b")).contains("planted"));
    }
}
