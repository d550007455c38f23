//! Component to native code.

use crate::config::{self, EngineKind, compiler};

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum PrecompileError {
    /// The host's own fault.
    #[error(transparent)]
    Engine(#[from] config::Error),
    /// The component's fault: the text is for its author.
    #[error("the component does not compile: {0:#}")]
    Component(wasmtime::Error),
}

/// Compiles a component to the bytes that [`crate::load`] maps.
///
/// A hostile component can make the compiler slow and hungry, which wasmtime does not count as a vulnerability: call
/// this only in a process that has limits on memory and time, never in one that serves.
///
/// # Errors
/// When the component is invalid or needs another kind of engine.
pub fn precompile(wasm: &[u8], kind: EngineKind) -> Result<Vec<u8>, PrecompileError> {
    compiler(kind)?.precompile_component(wasm).map_err(PrecompileError::Component)
}
