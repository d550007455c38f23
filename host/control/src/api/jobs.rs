//! `/v1/jobs`: schedules and their runs.

pub(crate) mod list;
pub(crate) mod run;
pub(crate) mod runs;

/// Id of errors.
const ID: &str = "jobs";
