//! The service `go.micro.service.ticker`: endpoints that take a stream of messages, reply with one, or both.

mod handler;

use micro_sdk::Service;

micro_sdk::include_proto!("ticker");
micro_sdk::export!(service());

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name("go.micro.service.ticker")
        .handler(TickerServer(handler::Ticker))
        .build()
}
