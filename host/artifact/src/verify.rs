//! Signing a revision's manifest, and the one check that makes it loadable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Digest, Error, Key, RevisionManifest, Store};

/// Bytes of a signed manifest; a real one has a few thousand.
const MANIFEST_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A revision whose manifest carries this platform's signature and whose native code has the digest that the manifest
/// names. Made by [`verify`] only.
#[derive(Debug, Clone)]
pub struct VerifiedArtifact {
    manifest: Arc<RevisionManifest>,
    revision: Digest,
    native: PathBuf,
    descriptors: Option<PathBuf>,
}

impl VerifiedArtifact {
    /// What was built.
    pub fn manifest(&self) -> &Arc<RevisionManifest> {
        &self.manifest
    }
    /// The revision's id.
    pub fn revision(&self) -> &Digest {
        &self.revision
    }
    /// The precompiled code: a file to map, that nobody writes.
    pub fn native(&self) -> &Path {
        &self.native
    }
    /// The `FileDescriptorSet` of the service's messages, where it has one.
    pub fn descriptors(&self) -> Option<&Path> {
        self.descriptors.as_deref()
    }
}

/// Signs `manifest` and keeps it; its digest is the revision's id. Equal manifests have equal ids. The artifacts it
/// names must have been put before.
pub fn publish(store: &Store, key: &Key, manifest: &RevisionManifest) -> Result<Digest, Error> {
    for digest in [&manifest.component, &manifest.native].into_iter().chain(&manifest.descriptors) {
        if !store.contains(digest) {
            return Err(Error::Missing(*digest));
        }
        // It may lie in the bucket for long, needed by nobody until now.
        store.share(digest)?;
    }
    // Struct fields keep their order and maps are sorted, so equal manifests have equal bytes.
    let json = serde_json::to_vec(manifest).map_err(Error::Manifest)?;
    let mut signed = key.sign(&json).into_bytes();
    signed.push(b'\n');
    signed.extend_from_slice(&json);
    check_size(signed.len() as u64)?;
    store.put(&signed)
}

/// Reads the manifest of a revision and checks that this platform signed it.
pub fn read_manifest(store: &Store, key: &Key, revision: &Digest) -> Result<RevisionManifest, Error> {
    check_size(store.size(revision)?)?;
    let signed = store.get(revision)?;
    if Digest::of(&signed) != *revision {
        return Err(Error::Damaged(*revision));
    }
    let Some((signature, json)) = split_once(&signed) else { return Err(Error::Signature(*revision)) };
    if !key.check(json, signature) {
        return Err(Error::Signature(*revision));
    }
    serde_json::from_slice(json).map_err(Error::Manifest)
}

/// Checks a revision and gives what can be loaded. What it names is hashed once in the life of this process; later
/// calls for the same digest only look whether it is still there.
pub fn verify(store: &Store, key: &Key, revision: &Digest) -> Result<VerifiedArtifact, Error> {
    let manifest = read_manifest(store, key, revision)?;
    store.check(&manifest.native)?;
    if let Some(descriptors) = &manifest.descriptors {
        store.check(descriptors)?;
    }
    let native = store.path(&manifest.native);
    let descriptors = manifest.descriptors.as_ref().map(|digest| store.path(digest));
    Ok(VerifiedArtifact { manifest: Arc::new(manifest), revision: *revision, native, descriptors })
}

fn check_size(size: u64) -> Result<(), Error> {
    if size > MANIFEST_BYTES_MAX {
        return Err(Error::ManifestSize { size, max: MANIFEST_BYTES_MAX });
    }
    Ok(())
}

fn split_once(signed: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = signed.iter().position(|byte| *byte == b'\n')?;
    Some((signed.get(..end)?, signed.get(end + 1..)?))
}

#[cfg(test)]
mod tests;
