//! The service `go.micro.service.helloworld`.

mod handler;

use micro_sdk::Service;

micro_sdk::include_proto!("helloworld");
micro_sdk::export!(service());

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name("go.micro.service.helloworld")
        .handler(HelloworldServer(handler::Helloworld))
        .build()
}
