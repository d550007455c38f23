//! `/v1/broker`.

pub(crate) mod dead;
pub(crate) mod groups;
pub(crate) mod publish;
