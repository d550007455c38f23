//! The one place where a lock's key is made.

use std::sync::Arc;

use micro_api::name::Namespace;

use super::Error;
use crate::Scope;

/// Longest name of a lock, and longest id of a holder, bytes.
const NAME_BYTES_MAX: usize = 256;

/// A lock of a service. A backend gets nothing less specific, so it cannot reach over a tenant's border. All versions of
/// a service share its locks. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockKey(Arc<Inner>);

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Inner {
    namespace: Namespace,
    service: String,
    name: String,
}

impl LockKey {
    /// A lock that a service names.
    ///
    /// # Errors
    /// [`Error::Name`] when the name is empty, longer than 256 bytes or has control characters.
    pub fn own(scope: &Scope, name: &str) -> Result<Self, Error> {
        check_name(name)?;
        let (namespace, service) = (scope.namespace.clone(), scope.service.to_string());
        Ok(Self(Arc::new(Inner { namespace, service, name: name.to_owned() })))
    }

    /// The tenant.
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// Whose lock it is.
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// The lock's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

/// Whether it may name a lock or a holder.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(Error::Name);
    }
    Ok(())
}
