//! The service `go.micro.service.counter`: its state is what its events add up to.

mod handler;

use micro_sdk::Service;

micro_sdk::include_proto!("counter");
micro_sdk::export!(service());

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name("go.micro.service.counter")
        .handler(CounterServer(handler::Counter))
        .build()
}
