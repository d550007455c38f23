//! The portal against a control API that answers from memory.

#[path = "../../examples/preview/fake.rs"]
mod fake;

mod browser;
mod forms;
mod login;
mod oidc;
mod pages;
mod xss;
