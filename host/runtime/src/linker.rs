//! What exists for a guest. `wasi:*` is always linked and denies at call time (no folders, no sockets); `micro:*` is
//! linked only where granted, so an instance without the grant cannot even be made.

use micro_capability::{Granted, Kind};
use micro_engine::EngineKind;
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::state::State;

/// Linkers are shared by all revisions with the same engine and grants: there are at most sixteen.
pub(crate) fn linker(engine: &Engine, kind: EngineKind, granted: Granted) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    let package = match kind {
        EngineKind::Sync => Kind::PlatformSync,
        EngineKind::Async => {
            wasmtime_wasi::p3::add_to_linker(&mut linker)?;
            wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
            Kind::Platform
        }
    };
    micro_capability::add_to_linker(&mut linker, package, granted)?;
    Ok(linker)
}
