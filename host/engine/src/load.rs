//! Native code into a running node.

use micro_artifact::VerifiedArtifact;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Why an artifact was not loaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot load the native code of {service} ({engine}): {source:#}")]
pub struct LoadError {
    service: String,
    engine: String,
    source: wasmtime::Error,
}

/// Maps the native code of an artifact. Pages come in as they are touched; nothing is hashed or compiled.
///
/// # Errors
/// When the code was made for another engine, or the node is out of maps, descriptors or address space.
#[expect(unsafe_code, reason = "the one place where bytes become code")]
pub fn load(engine: &Engine, artifact: &VerifiedArtifact) -> Result<Component, LoadError> {
    // SAFETY: the bytes are what `precompile` wrote. A `VerifiedArtifact` exists only after the signature of its
    // manifest and the digest of its native code were checked, and the file lies in a folder that only the platform
    // writes, where files are renamed in and never changed. The engine checks that the code was compiled for it.
    unsafe { Component::deserialize_file(engine, artifact.native()) }.map_err(|source| LoadError {
        service: artifact.manifest().service.to_string(),
        engine: artifact.manifest().engine.clone(),
        source,
    })
}
