//! The portal against a control API that answers from memory.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, and so do its helpers"
)]

#[path = "../../examples/preview/fake.rs"]
mod fake;

mod browser;
mod forms;
mod login;
mod oidc;
mod pages;
mod xss;
