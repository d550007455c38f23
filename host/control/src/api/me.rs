//! `/v1/me`: oneself.

pub(crate) mod delete;
pub(crate) mod email;
pub(crate) mod get;
pub(crate) mod password;
pub(crate) mod rename;
pub(crate) mod totp;
