//! The one place where a blob's key is made.

use micro_api::name::Namespace;

use super::Error;
use crate::Scope;

/// Longest key, bytes.
pub const KEY_BYTES_MAX: usize = 1 << 10;
/// Longest name of a shelf, bytes.
const SERVICE_BYTES_MAX: usize = 256;

/// The blobs of one service. Nothing less specific reaches a backend, so none reaches over a tenant's border.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shelf {
    namespace: Namespace,
    service: String,
}

impl Shelf {
    /// A service's own.
    pub fn own(scope: &Scope) -> Self {
        Self { namespace: scope.namespace.clone(), service: scope.service.to_string() }
    }

    /// One that a person names, within a namespace that they may see.
    ///
    /// # Errors
    /// [`Error::Service`] when the name is empty, longer than 256 bytes or has control characters.
    pub fn named(namespace: &Namespace, service: &str) -> Result<Self, Error> {
        if service.is_empty() || service.len() > SERVICE_BYTES_MAX || service.chars().any(char::is_control) {
            return Err(Error::Service);
        }
        Ok(Self { namespace: namespace.clone(), service: service.to_owned() })
    }

    /// The blob named `key`.
    ///
    /// # Errors
    /// [`Error::Key`] when it is empty, longer than [`KEY_BYTES_MAX`] or has control characters.
    pub fn key(&self, key: &str) -> Result<BlobKey, Error> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX || key.chars().any(char::is_control) {
            return Err(Error::Key);
        }
        Ok(BlobKey { shelf: self.clone(), key: key.to_owned() })
    }

    /// The tenant.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }
}

/// A blob of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobKey {
    shelf: Shelf,
    key: String,
}

impl BlobKey {
    /// Where it lies.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Its name there.
    pub fn key(&self) -> &str {
        &self.key
    }
}
