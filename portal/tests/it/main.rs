//! The portal against a control API that answers from memory.

#[path = "../../examples/preview/fake.rs"]
#[expect(dead_code, reason = "the preview uses what the tests do not")]
mod fake;

mod browser;
mod forms;
mod login;
mod pages;
mod xss;
