//! Micro's auth: tokens, whose they are, and the keys that prove them.

pub(crate) mod inspect;
pub(crate) mod jwks;
pub(crate) mod token;
