//! Who a call to a capability is for.

use micro_api::name::{Namespace, ServiceKey, ServiceName};

/// The service version that an instance belongs to. Every backend key, log file and outbound connection is derived
/// from it, never from anything the guest says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The tenant.
    pub namespace: Namespace,
    /// The service within it.
    pub service: ServiceName,
    /// The version label, `latest` unless the source names one.
    pub version: String,
}

impl Scope {
    /// The service without its version.
    pub fn key(&self) -> ServiceKey {
        ServiceKey { namespace: self.namespace.clone(), name: self.service.clone() }
    }
}
