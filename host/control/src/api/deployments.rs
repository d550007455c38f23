//! `/v1/deployments`.

pub(crate) mod get;
