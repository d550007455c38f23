//! The service `go.micro.service.bad-neighbour`: each endpoint breaks one limit of the platform, to show that the
//! platform and the services beside it live on.

mod handler;
mod host;
mod memory;
mod stream;

use micro_sdk::Service;

micro_sdk::include_proto!("bad_neighbour");
micro_sdk::export!(service());

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name("go.micro.service.bad-neighbour")
        .handler(BadNeighbourServer(handler::BadNeighbour))
        .build()
}
