//! A bucket of any server that speaks S3: where it is, and how calls reach it.

mod http;
mod place;

pub use http::{Http, allowed};
pub use place::{AccessKey, Place};
