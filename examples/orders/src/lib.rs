//! The service `go.micro.service.orders`: it takes orders, and publishes each to a topic.

mod handler;

use micro_sdk::Service;

micro_sdk::include_proto!("orders");
micro_sdk::export!(service());

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name("go.micro.service.orders")
        .handler(OrdersServer(handler::Orders))
        .build()
}
