//! A service that tries to reach what is not its own: each import of the platform, with names that a test chooses.

mod handler;
mod pile;
mod stream;

use micro_sdk::Service;

micro_sdk::include_proto!("prober");
micro_sdk::export!(service());

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name("prober")
        .handler(ProberServer(handler::Prober))
        .build()
}
