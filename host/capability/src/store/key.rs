//! The one place where a table's key is made.

use micro_api::name::Namespace;

use super::Error;
use crate::Scope;

/// Longest table name, bytes: a service name is at most 128 and its type's prefix.
const TABLE_BYTES_MAX: usize = 256;

/// A table within a namespace. A backend gets nothing less specific, so it cannot reach over a tenant's border.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableKey {
    namespace: Namespace,
    table: String,
}

impl TableKey {
    /// A service's own table: it has the service's name.
    pub fn own(scope: &Scope) -> Self {
        Self { namespace: scope.namespace.clone(), table: scope.service.to_string() }
    }

    /// A table that a person names, within a namespace that they may see.
    ///
    /// # Errors
    /// [`Error::Table`] when the name is empty, longer than 256 bytes or has control characters.
    pub fn named(namespace: &Namespace, table: &str) -> Result<Self, Error> {
        if table.is_empty() || table.len() > TABLE_BYTES_MAX || table.chars().any(char::is_control) {
            return Err(Error::Table);
        }
        Ok(Self { namespace: namespace.clone(), table: table.to_owned() })
    }

    /// The tenant.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }
}
