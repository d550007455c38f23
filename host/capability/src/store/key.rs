//! The one place where a table's key is made.

use std::sync::Arc;

use micro_api::name::Namespace;

use super::Error;
use crate::Scope;

/// Longest table name, bytes: a service name is at most 128 and its type's prefix.
const TABLE_BYTES_MAX: usize = 256;

/// A table within a namespace. A backend gets nothing less specific, so it cannot reach over a tenant's border.
/// Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableKey(Arc<Inner>);

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Inner {
    namespace: Namespace,
    table: String,
}

impl TableKey {
    /// A service's own table: it has the service's name.
    pub fn own(scope: &Scope) -> Self {
        Self::new(&scope.namespace, scope.service.to_string())
    }

    /// A table that a person names, within a namespace that they may see.
    ///
    /// # Errors
    /// [`Error::Table`] when the name is empty, longer than 256 bytes or has control characters.
    pub fn named(namespace: &Namespace, table: &str) -> Result<Self, Error> {
        if table.is_empty() || table.len() > TABLE_BYTES_MAX || table.chars().any(char::is_control) {
            return Err(Error::Table);
        }
        Ok(Self::new(namespace, table.to_owned()))
    }

    fn new(namespace: &Namespace, table: String) -> Self {
        Self(Arc::new(Inner { namespace: namespace.clone(), table }))
    }

    /// The tenant.
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.0.table
    }
}
