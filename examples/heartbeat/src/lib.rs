//! The service `go.micro.service.heartbeat`: the platform calls it by the clock, and it counts.

mod handler;

use micro_sdk::Service;

micro_sdk::include_proto!("heartbeat");
micro_sdk::export!(service());

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name("go.micro.service.heartbeat")
        .handler(HeartbeatServer(handler::Heartbeat))
        .build()
}
