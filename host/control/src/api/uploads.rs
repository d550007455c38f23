//! `/v1/uploads`.

pub(crate) mod create;
