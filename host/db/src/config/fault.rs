//! Why a configuration does not take what was asked for. Each text says what to do, and none holds a value.

use micro_api::Error as Api;
use micro_api::config::Fault;

use super::{SECRETS_BYTES_MAX, SECRETS_MAX};

/// What is wrong with a write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// The document does not take it.
    #[error(transparent)]
    Document(#[from] Fault),
    #[error("`{0}` is a secret: set it with --secret, or delete it first")]
    IsSecret(String),
    #[error("`{0}` is a secret, so nothing can be set below it: delete it first")]
    BelowSecret(String),
    #[error("the secret `{0}` lies below it: delete the secret first")]
    SecretsBelow(String),
    #[error("`{0}` holds an object, which cannot become a secret: delete it first, or set one of its keys")]
    HoldsObject(String),
    #[error(
        "a namespace has at most {SECRETS_MAX} secrets of {} KiB together: delete one first",
        SECRETS_BYTES_MAX >> 10
    )]
    SecretsFull,
    /// None of the versions that are kept.
    #[error("version {0} not found: `micro config history` lists those that are kept")]
    NoVersion(i64),
    /// Another write made the namespace's first secret meanwhile, or the master key was replaced.
    #[error("the key of this namespace's secrets was replaced meanwhile: try again")]
    KeyReplaced,
}

impl ConfigFault {
    pub(crate) fn to_api(&self, id: &str) -> Api {
        let detail = self.to_string();
        match self {
            Self::Document(Fault::NoObject { .. })
            | Self::IsSecret(_)
            | Self::BelowSecret(_)
            | Self::SecretsBelow(_)
            | Self::HoldsObject(_)
            | Self::KeyReplaced => Api::conflict(id, detail),
            Self::Document(Fault::Document) | Self::SecretsFull => Api::new(id, 507, detail),
            Self::Document(_) => Api::bad_request(id, detail),
            Self::NoVersion(_) => Api::not_found(id, detail),
        }
    }
}
