//! Host bindings of both packages, generated from `wit/`. They also carry the `handler` export, for the runtime.

use micro_api::Error;

/// `micro:platform`: async functions, which run concurrently.
#[expect(missing_docs, reason = "generated; the WIT files are the documentation")]
pub mod platform {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "micro:platform/service",
        imports: { default: trappable },
        exports: { default: async },
        require_store_data_send: true,
    });
}

/// `micro:platform-sync`: the same functions, blocking as the guest sees them.
#[expect(missing_docs, reason = "generated; the WIT files are the documentation")]
pub mod platform_sync {
    wasmtime::component::bindgen!({
        path: "../../wit/sync",
        world: "micro:platform-sync/service",
        imports: {
            "micro:platform-sync/log": trappable,
            default: async | trappable,
        },
        exports: { default: async },
        require_store_data_send: true,
    });
}

macro_rules! error_conversions {
    ($wit:path) => {
        impl From<Error> for $wit {
            fn from(error: Error) -> Self {
                Self { id: error.id, code: error.code, detail: error.detail, status: error.status }
            }
        }
        impl From<$wit> for Error {
            fn from(error: $wit) -> Self {
                Self { id: error.id, code: error.code, detail: error.detail, status: error.status }
            }
        }
    };
}
error_conversions!(platform::micro::platform::types::Error);
error_conversions!(platform_sync::micro::platform_sync::types::Error);
