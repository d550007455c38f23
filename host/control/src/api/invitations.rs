//! `/v1/invitations`: asking people into a namespace.

pub(crate) mod accept;
pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod withdraw;
