//! `/v1/services`.

pub(crate) mod health;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod run;
pub(crate) mod stats;
pub(crate) mod update;

mod request;

/// Who failed, in errors of these endpoints.
pub(crate) const ID: &str = "runtime";
/// The version that is meant when none is named.
pub(crate) const LATEST: &str = "latest";
