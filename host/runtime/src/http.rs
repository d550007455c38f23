//! `wasi:http` in both generations.
//!
//! The guest's future is polled where the answer is awaited. What it has written when it first waits decides the form:
//! an answer that is complete by then leaves with its length known, any other one as a stream that goes on polling the
//! guest as the client reads.

mod body;
mod exchange;
mod guest;

pub use body::{Body, BoxError};
pub(crate) use body::{Upload, inbound};
pub(crate) use exchange::exchange;
pub(crate) use guest::{Answer, GuestBody, Inbound, finish_p3, prepare_p3, serve};
