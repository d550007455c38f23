//! Where artifacts lie.

mod filesystem;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::{Digest, Error};
use filesystem::Filesystem;

/// Which store, as the operator chose it.
#[derive(Debug, Clone)]
pub enum Config {
    /// A folder of this machine. It is made with mode 0700 when absent.
    Filesystem {
        /// The folder.
        folder: PathBuf,
    },
}

/// Bytes by digest. Cheap to clone; clones share what they know to be verified.
#[derive(Debug, Clone)]
pub struct Store(Arc<Backend>);

/// While it lives, nothing is collected: see [`Store::hold`].
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "the lock goes with the file")] std::fs::File);

#[derive(Debug)]
enum Backend {
    Filesystem(Filesystem),
}

impl Store {
    /// Opens the store. Fails when others may enter its folder.
    pub fn open(config: &Config) -> Result<Self, Error> {
        match config {
            Config::Filesystem { folder } => {
                Ok(Self(Arc::new(Backend::Filesystem(Filesystem::open(folder)?))))
            }
        }
    }

    /// Keeps `bytes`. When it returns they survive a crash. Bytes that are there already cost a look only.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        match &*self.0 {
            Backend::Filesystem(files) => files.put(&mut &*bytes),
        }
    }

    /// Keeps a copy of the file at `path`; the file itself stays.
    pub fn put_file(&self, path: &Path) -> Result<Digest, Error> {
        let mut file = std::fs::File::open(path).map_err(crate::io("open", path))?;
        match &*self.0 {
            Backend::Filesystem(files) => files.put(&mut file),
        }
    }

    /// Reads an artifact whole.
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        match &*self.0 {
            Backend::Filesystem(files) => files.get(digest),
        }
    }

    /// The file of an artifact, to be mapped or read, never written. It may be removed at any time by [`Store::remove`].
    pub fn path(&self, digest: &Digest) -> PathBuf {
        match &*self.0 {
            Backend::Filesystem(files) => files.path(digest),
        }
    }

    /// Whether the artifact is there. Does not hash it.
    pub fn contains(&self, digest: &Digest) -> bool {
        match &*self.0 {
            Backend::Filesystem(files) => files.contains(digest),
        }
    }

    /// Size in bytes.
    pub fn size(&self, digest: &Digest) -> Result<u64, Error> {
        match &*self.0 {
            Backend::Filesystem(files) => files.size(digest),
        }
    }

    /// Forgets an artifact. One that is mapped stays usable for those who mapped it. Missing ones are no error.
    pub fn remove(&self, digest: &Digest) -> Result<(), Error> {
        match &*self.0 {
            Backend::Filesystem(files) => files.remove(digest),
        }
    }

    /// Keeps every process from collecting what no revision names any more, until the value is dropped. Waits for a
    /// collection that is under way.
    pub fn hold(&self) -> Result<Hold, Error> {
        match &*self.0 {
            Backend::Filesystem(files) => files.hold().map(Hold),
        }
    }

    /// As [`Store::hold`], for the one that collects: none while somebody else has a hold.
    pub(crate) fn hold_alone(&self) -> Result<Option<Hold>, Error> {
        match &*self.0 {
            Backend::Filesystem(files) => Ok(files.hold_alone()?.map(Hold)),
        }
    }

    /// Artifacts that are older than `age`, and leftovers of writers that died are removed on the way.
    pub(crate) fn older_than(&self, age: Duration) -> Result<Vec<Digest>, Error> {
        match &*self.0 {
            Backend::Filesystem(files) => files.older_than(age),
        }
    }

    /// Hashes an artifact, at most once for each digest and process.
    pub(crate) fn check(&self, digest: &Digest) -> Result<(), Error> {
        match &*self.0 {
            Backend::Filesystem(files) => files.check(digest),
        }
    }
}

#[cfg(test)]
mod tests;
