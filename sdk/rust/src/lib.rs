//! Write services for the Micro platform.
//!
//! A service is a `.proto` file, a handler and one line that exports it:
//!
//! ```ignore
//! micro_sdk::include_proto!("helloworld");
//! micro_sdk::export!(service());
//!
//! struct Helloworld;
//!
//! impl HelloworldHandler for Helloworld {
//!     async fn call(&self, _ctx: &Context, request: CallRequest) -> Result<CallResponse, Error> {
//!         Ok(CallResponse { msg: format!("Hello {}", request.name) })
//!     }
//! }
//!
//! fn service() -> Service {
//!     Service::builder().name("helloworld").handler(HelloworldServer(Helloworld)).build()
//! }
//! ```
//!
//! A method of a handler can hear messages or events, or be called at set times: [`subscribe`], [`consume`] and
//! [`schedule`] are attributes that say what `[[subscribe]]`, `[[consume]]` and `[[schedule]]` of `micro.toml` say.
//!
//! ```ignore
//! impl MailerHandler for Mailer {
//!     #[micro_sdk::subscribe(topic = "orders.created", queue = "mails", retries = 5)]
//!     async fn send(&self, ctx: &Context, order: Order) -> Result<Nothing, Error> { … }
//! }
//! ```
//!
//! An endpoint whose `.proto` says `stream` reads and writes messages one by one: see [`streaming`].
//!
//! Compiled for `wasm32-wasip2` the calls of this crate reach the platform. Compiled for the machine you work on they
//! reach an in-memory stand-in of it ([`test::World`]), so `cargo test` needs neither wasm nor a server.

extern crate self as micro_sdk;

pub mod api;
pub mod blob;
pub mod broker;
pub mod client;
pub mod config;
mod context;
mod error;
pub mod events;
#[cfg(feature = "http")]
pub mod http;
mod job;
pub mod log;
pub mod registry;
mod service;
pub mod store;
pub mod streaming;
pub mod sync;
pub mod time;
#[cfg(feature = "http")]
pub mod web;
mod wrapper;

/// What `wit-bindgen` made of the platform's WIT files; written by `cargo xtask wit`.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[expect(
    unreachable_pub,
    clippy::allow_attributes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "generated code"
)]
pub mod bindings {
    #[rustfmt::skip]
    pub mod job;
    #[rustfmt::skip]
    pub mod service;
    #[cfg(feature = "http")]
    #[rustfmt::skip]
    pub mod web;
}
#[cfg(target_arch = "wasm32")]
#[path = "host/wasm.rs"]
mod host;
#[cfg(not(target_arch = "wasm32"))]
#[path = "host/native.rs"]
mod host;
#[cfg(not(target_arch = "wasm32"))]
pub mod test;

use std::{future::Future, pin::Pin};

pub use client::Client;
pub use context::{Account, Context};
pub use error::Error;
#[cfg(feature = "http")]
pub(crate) use error::Quoted;
#[cfg(feature = "http")]
#[doc(hidden)]
pub use micro_sdk_macros::__html;
pub use micro_sdk_macros::{consume, schedule, subscribe, test, wrapper};
pub use service::{Builder, Endpoints, Service};
pub use wrapper::{ClientNext, ClientWrapper, HandlerWrapper, Next, Request};

/// A boxed future that stays on its thread, as all of a service does.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

#[cfg(all(target_arch = "wasm32", feature = "http"))]
#[doc(hidden)]
pub use host::serve;
#[doc(hidden)]
pub use service::{decode, encode, no_such_endpoint};
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use {host::dispatch, wit_bindgen};
#[doc(hidden)]
pub use {prost, prost_types};

/// Includes what the build script generated for a protobuf package.
#[macro_export]
macro_rules! include_proto {
    ($package:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
    };
}

/// Makes the crate a service: exports the RPC handler, with the [`Service`] that the expression makes once an
/// instance, and describes its endpoints to the platform.
#[macro_export]
macro_rules! export {
    ($service:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[unsafe(link_section = "micro:descriptors")]
            #[used]
            static DESCRIPTORS: [u8; include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin")).len()] =
                *include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
            #[unsafe(link_section = "micro:codecs")]
            #[used]
            static CODECS: [u8; 9] = *b"protobuf\n";

            ::std::thread_local! {
                static SERVICE: $crate::Service = $service;
            }

            struct Exported;

            impl $crate::bindings::service::exports::micro::platform::handler::Guest for Exported {
                async fn handle(
                    context: $crate::bindings::service::micro::platform::types::Context,
                    endpoint: ::std::string::String,
                    codec: $crate::bindings::service::micro::platform::types::Codec,
                    request: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<
                    ::std::vec::Vec<u8>,
                    $crate::bindings::service::micro::platform::types::Error,
                > {
                    let service = SERVICE.with(::core::clone::Clone::clone);
                    $crate::dispatch(&service, context, endpoint, codec, request).await
                }
            }

            $crate::bindings::service::__export_service!(
                Exported with_types_in $crate::bindings::service
            );
        };
    };
}
