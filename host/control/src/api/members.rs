//! `/v1/members`: the people of a namespace.

pub(crate) mod change;
pub(crate) mod list;
pub(crate) mod remove;
