//! The service `go.micro.service.greeter`.

mod handler;

use micro_sdk::Service;

micro_sdk::include_proto!("greeter");
micro_sdk::export!(service());

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name("go.micro.service.greeter")
        .handler(SayServer(handler::Say))
        .build()
}
