//! The builder as the server runs it: the real program, a database, sources on this machine.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod fetch;
mod harness;
mod hostile;
mod recompile;
mod recover;
mod rust;
mod ssh;
mod toolchain;
mod upload;
