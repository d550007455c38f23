//! The phases of a build, in order.

pub(crate) mod fetch;

pub(crate) mod detect;

pub(crate) mod build;

pub(crate) mod validate;

pub(crate) mod precompile;

pub(crate) mod publish;

pub(crate) mod recompile;
