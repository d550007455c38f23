//! The real `micro` against a control API in this process. Texts are Micro's; what the whole platform answers is
//! tested elsewhere.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod account;
mod blob;
mod config;
mod deploy;
mod fake;
mod harness;
mod help;
mod local;
mod login;
mod refresh;
mod socket;
mod store;
mod team;
mod terminal;
mod transcripts;
