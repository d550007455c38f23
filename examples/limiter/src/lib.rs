//! The service `go.micro.service.limiter`: a rate limiter on the store's `increment`.

mod handler;

use micro_sdk::Service;

micro_sdk::include_proto!("limiter");
micro_sdk::export!(service());

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name("go.micro.service.limiter")
        .handler(LimiterServer(handler::Limiter))
        .build()
}
