//! The service `go.micro.service.notifier`: it hears of orders, and sums them up every morning.

mod handler;

use micro_sdk::Service;

micro_sdk::include_proto!("notifier");
micro_sdk::export!(service());

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name("go.micro.service.notifier")
        .handler(NotifierServer(handler::Notifier))
        .build()
}
