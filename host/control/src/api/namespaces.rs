//! `/v1/namespaces`.

pub(crate) mod delete;
