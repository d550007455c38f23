//! Sessions of people: sign in, look, end.

pub(crate) mod end;
pub(crate) mod list;
pub(crate) mod open;
