//! The service `go.micro.service.caller`: it calls other services, with a wrapper around its handler and one around
//! its clients.

mod handler;
mod wrapper;

use micro_sdk::Service;

/// Messages and client of the service `helloworld`.
pub mod helloworld {
    micro_sdk::include_proto!("helloworld");
}

/// Messages and client of the service `ticker`.
pub mod ticker {
    micro_sdk::include_proto!("ticker");
}

micro_sdk::include_proto!("caller");
micro_sdk::export!(service());

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name("go.micro.service.caller")
        .handler(CallerServer(handler::Caller))
        .wrap(wrapper::log_handler)
        .wrap_client(wrapper::log_client)
        .build()
}
