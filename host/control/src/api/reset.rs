//! `/v1/reset`: a new password for somebody who forgot the old one.

pub(crate) mod code;
pub(crate) mod create;
