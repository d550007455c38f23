//! The function `__fqdn__`: an instance answers one request and ends.

mod handler;

use micro_sdk::Service;

micro_sdk::include_proto!("__module__");
micro_sdk::export!(service());

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name("__fqdn__")
        .handler(__Service__Server(handler::__Service__))
        .build()
}
