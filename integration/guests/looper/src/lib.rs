//! Loops over one import of the platform: what the benchmarks measure.

mod handler;

use micro_sdk::Service;

micro_sdk::include_proto!("looper");
micro_sdk::export!(service());

fn service() -> Service {
    Service::builder().name("looper").handler(LooperServer(handler::Looper)).build()
}
