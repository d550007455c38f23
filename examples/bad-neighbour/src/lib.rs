//! The service `go.micro.service.bad-neighbour`.

mod handler;

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
