//! The endpoints: a folder a resource, a file an action.

pub(crate) mod accounts;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod billing;
pub(crate) mod blobs;
pub(crate) mod broker;
pub(crate) mod config;
pub(crate) mod deployments;
pub(crate) mod device;
pub(crate) mod documents;
pub(crate) mod events;
pub(crate) mod invitations;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod me;
pub(crate) mod members;
pub(crate) mod namespaces;
pub(crate) mod oidc;
pub(crate) mod operator;
pub(crate) mod projects;
pub(crate) mod registry;
pub(crate) mod reset;
pub(crate) mod rules;
pub(crate) mod services;
pub(crate) mod sessions;
pub(crate) mod signup;
pub(crate) mod store;
pub(crate) mod uploads;
pub(crate) mod usage;

use micro_api::ServiceName;

use crate::error::Error;

/// A service name as a client wrote it, Micro's prefixes included.
pub(crate) fn service_name(id: &str, text: &str) -> Result<ServiceName, Error> {
    text.parse().map_err(|error: micro_api::name::NameError| {
        micro_api::Error::bad_request(id, error.to_string()).into()
    })
}
