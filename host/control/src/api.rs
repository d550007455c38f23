//! The endpoints: a folder a resource, a file an action.

pub(crate) mod deployments;
pub(crate) mod documents;
pub(crate) mod registry;
pub(crate) mod services;
pub(crate) mod store;
pub(crate) mod uploads;

use micro_api::ServiceName;

use crate::error::Error;

/// A service name as a client wrote it, Micro's prefixes included.
pub(crate) fn service_name(id: &str, text: &str) -> Result<ServiceName, Error> {
    text.parse().map_err(|error: micro_api::name::NameError| {
        micro_api::Error::bad_request(id, error.to_string()).into()
    })
}
