//! Micro's rules: who may call which endpoint of a namespace's services.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;

const ID: &str = "go.micro.auth";
