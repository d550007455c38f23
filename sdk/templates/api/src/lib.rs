//! The API `__fqdn__`: HTTP in, JSON out.

mod handler;

use micro_sdk::Service;

micro_sdk::include_proto!("__module__");
micro_sdk::export!(service());

/// The name of this API: what its errors carry.
pub const NAME: &str = "__fqdn__";

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name(NAME)
        .handler(__Service__Server(handler::__Service__))
        .build()
}
