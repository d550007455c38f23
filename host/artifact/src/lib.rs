//! What a build leaves behind: bytes under their digest, and the signed manifest that says what they are.
//!
//! Only [`verify`] makes a [`VerifiedArtifact`], and only a `VerifiedArtifact` can be loaded: skipping the check does
//! not compile. The functions here block on the file system; callers on an async thread wrap them.

mod digest;
mod gc;
mod key;
mod manifest;
mod remote;
mod store;
mod verify;

pub use digest::{Digest, DigestError, Hasher};
pub use gc::{Collected, collect, reachable};
pub use key::Key;
pub use manifest::{Code, Codec, Exports, Package, RevisionManifest, Wasi};
pub use remote::{Remote, RemoteFile};
pub use store::{Config, Hold, Store};
pub use verify::{VerifiedArtifact, publish, read_manifest, verify};

use std::path::PathBuf;

/// Why an artifact could not be stored, found or trusted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("{doing} {path}", path = path.display())]
    Io {
        /// What was being done, "create", "rename".
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The store that nodes share refused, or cannot be reached.
    #[error("{doing} {name} in the bucket: {reason}")]
    Remote {
        /// What was being done, "read", "write".
        doing: &'static str,
        name: String,
        reason: String,
    },
    /// Nothing is stored under the digest.
    #[error("no artifact {0}")]
    Missing(Digest),
    /// The bytes under a digest are not the bytes that were published.
    #[error("the artifact {0} was changed or damaged after it was published")]
    Damaged(Digest),
    /// The manifest does not carry this platform's signature.
    #[error("the manifest {0} is not signed by this platform's key")]
    Signature(Digest),
    /// The manifest cannot be read or written as JSON.
    #[error("the manifest of a revision is malformed")]
    Manifest(#[source] serde_json::Error),
    /// The manifest is larger than [`verify`] reads.
    #[error("the manifest of a revision has {size} bytes, at most {max} are allowed")]
    ManifestSize { size: u64, max: u64 },
    /// The key file has the wrong length or can be read by others.
    #[error("the key file {path} {problem}", path = path.display())]
    Key { path: PathBuf, problem: &'static str },
}

impl Error {
    /// The bucket that nodes share refused, or cannot be reached.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Remote { .. })
    }

    /// The disk is full, or the quota of it.
    pub fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

/// Adds to an IO error what was being done.
pub(crate) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { doing, path, source }
}
