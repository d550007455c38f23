//! Where artifacts lie.

mod filesystem;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use micro_s3::Place;

use crate::remote::is_older;
use crate::{Digest, Error, Remote};
use filesystem::Filesystem;

/// Where artifacts lie in a bucket.
const ARTIFACTS: &str = "artifacts";
/// What says when a node last looked for those that nobody needs, and how often one does: all of them are listed then.
const COLLECTED: &str = "turns/collect";
const COLLECT_EVERY: Duration = Duration::from_secs(3_600);

/// Which store, as the operator chose it.
#[derive(Debug, Clone)]
pub enum Config {
    /// A folder of this machine. It is made with mode 0700 when absent.
    Filesystem {
        /// The folder.
        folder: PathBuf,
    },
    /// A bucket that nodes share. What a node uses lies in a folder of its own too, from where it is mapped.
    Shared {
        /// The folder.
        folder: PathBuf,
        /// The bucket.
        remote: Remote,
    },
}

impl Config {
    /// A folder, and the bucket if `url` names one as [`Place::from_env`] says; the bucket is opened.
    pub fn of(folder: PathBuf, url: Option<&str>) -> Result<Self, Error> {
        let Some(url) = url else { return Ok(Self::Filesystem { folder }) };
        let wrong = |reason| Error::Remote { doing: "find", name: "artifacts".to_owned(), reason };
        let place = Place::from_env(url).map_err(wrong)?;
        Ok(Self::Shared { folder, remote: Remote::open(&place)? })
    }
}

/// Bytes by digest. Cheap to clone; clones share what they know to be verified.
#[derive(Debug, Clone)]
pub struct Store(Arc<Places>);

/// While it lives, nothing is collected: see [`Store::hold`].
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "the lock goes with the file")] std::fs::File);

#[derive(Debug)]
struct Places {
    files: Filesystem,
    remote: Option<Remote>,
}

impl Store {
    /// Opens the store. Fails when others may enter its folder.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let (folder, remote) = match config {
            Config::Filesystem { folder } => (folder, None),
            Config::Shared { folder, remote } => (folder, Some(remote.clone())),
        };
        Ok(Self(Arc::new(Places { files: Filesystem::open(folder)?, remote })))
    }

    /// Keeps `bytes`. When it returns they survive a crash, and every node can have them. Bytes that are there already
    /// cost a look only.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = self.0.files.put(&mut &*bytes)?;
        self.share(&digest)?;
        Ok(digest)
    }

    /// Keeps a copy of the file at `path`; the file itself stays.
    pub fn put_file(&self, path: &Path) -> Result<Digest, Error> {
        let mut file = std::fs::File::open(path).map_err(crate::io("open", path))?;
        let digest = self.0.files.put(&mut file)?;
        self.share(&digest)?;
        Ok(digest)
    }

    /// Reads an artifact whole.
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        self.fetch(digest)?;
        self.0.files.get(digest)
    }

    /// The file of an artifact that [`Store::contains`], to be mapped or read, never written. It may be removed at any
    /// time by [`Store::remove`].
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.0.files.path(digest)
    }

    /// Whether the artifact is there; one that only other nodes have is fetched. Does not hash what is here.
    pub fn contains(&self, digest: &Digest) -> bool {
        if let Err(error) = self.fetch(digest) {
            tracing::warn!(%error, "An artifact of another node was not fetched");
        }
        self.0.files.contains(digest)
    }

    /// Size in bytes.
    pub fn size(&self, digest: &Digest) -> Result<u64, Error> {
        self.fetch(digest)?;
        self.0.files.size(digest)
    }

    /// Forgets an artifact here. One that is mapped stays usable for those who mapped it. Missing ones are no error.
    pub fn remove(&self, digest: &Digest) -> Result<(), Error> {
        self.0.files.remove(digest)
    }

    /// The bucket that nodes share, if they do.
    pub fn remote(&self) -> Option<&Remote> {
        self.0.remote.as_ref()
    }

    /// Keeps every process of this machine from collecting what no revision names any more, until the value is dropped.
    /// Waits for a collection that is under way. Other machines only collect what is old.
    pub fn hold(&self) -> Result<Hold, Error> {
        self.0.files.hold().map(Hold)
    }

    /// As [`Store::hold`], for the one that collects: none while somebody else has a hold.
    pub(crate) fn hold_alone(&self) -> Result<Option<Hold>, Error> {
        Ok(self.0.files.hold_alone()?.map(Hold))
    }

    /// Artifacts of this machine that are older than `age`, and leftovers of writers that died are removed on the way.
    pub(crate) fn older_than(&self, age: Duration) -> Result<Vec<Digest>, Error> {
        self.0.files.older_than(age)
    }

    /// Whether it is this node that looks through the bucket now. One of all nodes does so each hour.
    pub(crate) fn is_to_collect_shared(&self) -> Result<bool, Error> {
        self.0.remote.as_ref().map_or(Ok(false), |remote| remote.turn(COLLECTED, COLLECT_EVERY))
    }

    /// Removes from the bucket what was written longer than `age` ago and is not one of `keep`; how many.
    pub(crate) fn collect_shared(&self, keep: &HashSet<Digest>, age: Duration) -> Result<usize, Error> {
        let Some(remote) = &self.0.remote else { return Ok(0) };
        let mut removed = 0;
        for file in remote.list(ARTIFACTS)? {
            let Ok(digest) = Digest::from_hex(&file.name) else { continue };
            if !keep.contains(&digest) && is_older(file.written, age) {
                remote.remove(&name(&digest), age)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Hashes an artifact, at most once for each digest and process.
    pub(crate) fn check(&self, digest: &Digest) -> Result<(), Error> {
        self.fetch(digest)?;
        self.0.files.check(digest)
    }

    /// Gives an artifact of this node to all.
    pub(crate) fn share(&self, digest: &Digest) -> Result<(), Error> {
        match &self.0.remote {
            Some(remote) => remote.put(&name(digest), &self.0.files.path(digest)),
            None => Ok(()),
        }
    }

    /// Takes an artifact of another node over, if it is not here. What does not have the digest is not taken.
    fn fetch(&self, digest: &Digest) -> Result<(), Error> {
        let Some(remote) = self.0.remote.as_ref().filter(|_| !self.0.files.contains(digest)) else {
            return Ok(());
        };
        let partial = self.0.files.partial()?;
        let file = partial.reopen().map_err(crate::io("open", partial.path()))?;
        if remote.fetch(&name(digest), file)? {
            let mut fetched = partial.reopen().map_err(crate::io("open", partial.path()))?;
            self.0.files.put_only(&mut fetched, digest)?;
        }
        Ok(())
    }
}

fn name(digest: &Digest) -> String {
    format!("{ARTIFACTS}/{}", digest.hex())
}

#[cfg(test)]
mod tests;
