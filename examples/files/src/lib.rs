//! The service `go.micro.service.files`: it keeps files as blobs.

mod handler;

use micro_sdk::Service;

micro_sdk::include_proto!("files");
micro_sdk::export!(service());

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name("go.micro.service.files")
        .handler(FilesServer(handler::Files))
        .build()
}
