//! Micro's accounts: identities of a namespace beside its people. An owner manages them.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;

const ID: &str = "go.micro.auth";
