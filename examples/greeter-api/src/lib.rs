//! The API `go.micro.api.greeter`: HTTP in, JSON out. The greeting itself comes from the service `greeter`.

mod handler;

use micro_sdk::Service;

/// Messages and client of the service `greeter`.
pub mod greeter {
    micro_sdk::include_proto!("greeter");
}

micro_sdk::include_proto!("api");
micro_sdk::export!(service());

/// The name of this API: what its errors carry.
pub const NAME: &str = "go.micro.api.greeter";

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name(NAME)
        .handler(SayServer(handler::Say))
        .build()
}
