//! `micro admin backup` and `micro admin restore`: all that outlives a platform, in one file.
//!
//! The file is a tar archive, so that it can be looked into with what every machine has:
//!
//! ```text
//! manifest.json             what follows, with sizes and digests; first, so that a restore knows what to expect
//! control/<table>.jsonl     the control data, a row a line, from SQLite or PostgreSQL alike
//! store/<namespace>.db      the store of a namespace, a SQLite database
//! artifacts/<sha256>        every component, native code and manifest of a revision that the control data names
//! uploads/<id>.tar.gz       sources that a build still waits for
//! artifact.key              what revisions are signed with
//! ```
//!
//! The control data is read first, in one transaction. Artifacts appear before the rows that name them, never change, and
//! are not collected during a backup, so each one that this moment names is there. The store is read after it, so it has
//! at least what services had written by then.
//!
//! The master key is never in it: whoever finds a backup finds no secret that the key seals. Logs and build caches are
//! not in it either: nothing depends on them.

mod manifest;
mod progress;
mod restore;
mod target;
#[cfg(test)]
mod tests;
mod write;

use std::io::Read;

use micro_artifact::{Digest, Hasher};

pub(crate) use restore::restore;
pub(crate) use write::back_up;

/// The folders and files of the archive, and of the data folder.
const CONTROL: &str = "control";
const STORE: &str = "store";
const ARTIFACTS: &str = "artifacts";
const UPLOADS: &str = "uploads";
const ARTIFACT_KEY: &str = "artifact.key";
const MANIFEST: &str = "manifest.json";

/// Hashes and counts what is read through it.
struct Hashed<R> {
    inner: R,
    hasher: Hasher,
    bytes: u64,
}

impl<R: Read> Hashed<R> {
    fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::new(), bytes: 0 }
    }

    fn finish(self) -> (u64, Digest) {
        (self.bytes, self.hasher.finish())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}
