//! `/v1/device`: a terminal signs in by a person's yes elsewhere (RFC 8628).

pub(crate) mod approve;
pub(crate) mod start;
pub(crate) mod token;

/// Who failed, in errors of these endpoints.
const ID: &str = "device";
