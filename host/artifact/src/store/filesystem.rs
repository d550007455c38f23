//! One folder, one file an artifact, named by its digest.
//!
//! A file appears by rename after its bytes are on disk and is never written again, so a mapped artifact cannot change
//! under its reader. Only the platform's user may enter the folder.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::key::sync_folder;
use crate::{Digest, Error, Hasher, io};

const CHUNK_BYTES: usize = 128 * 1024;
/// Prefix of files that are being written.
const PARTIAL: &str = ".partial-";
/// Digests remembered as verified; more than this and they are checked again.
const VERIFIED_MAX: usize = 65_536;

#[derive(Debug)]
pub(super) struct Filesystem {
    folder: PathBuf,
    verified: Mutex<HashSet<Digest>>,
}

impl Filesystem {
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io("make", folder))?;
        let mode = folder.metadata().map_err(io("look at", folder))?.permissions().mode();
        if mode & 0o077 != 0 {
            // The folder is ours alone; a looser one was made by someone who did not know that.
            std::fs::set_permissions(folder, Permissions::from_mode(0o700))
                .map_err(io("restrict", folder))?;
        }
        Ok(Self { folder: folder.to_owned(), verified: Mutex::default() })
    }

    pub(super) fn put(&self, from: &mut dyn Read) -> Result<Digest, Error> {
        self.keep(from, None)
    }

    /// Keeps what has this digest, and nothing else.
    pub(super) fn put_only(&self, from: &mut dyn Read, digest: &Digest) -> Result<(), Error> {
        self.keep(from, Some(digest)).map(drop)
    }

    fn keep(&self, from: &mut dyn Read, only: Option<&Digest>) -> Result<Digest, Error> {
        let partial = self.partial()?;
        let digest = copy(from, partial.as_file()).map_err(io("write", partial.path()))?;
        if let Some(only) = only.filter(|only| **only != digest) {
            return Err(Error::Damaged(*only));
        }
        let path = self.path(&digest);
        if path.exists() {
            return Ok(digest);
        }
        partial.as_file().sync_all().map_err(io("sync", partial.path()))?;
        partial.persist(&path).map_err(|error| io("rename", &path)(error.error))?;
        sync_folder(&self.folder)?;
        self.remember(digest);
        Ok(digest)
    }

    /// A file to write to, that goes unless it is renamed.
    pub(super) fn partial(&self) -> Result<tempfile::NamedTempFile, Error> {
        tempfile::Builder::new()
            .prefix(PARTIAL)
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(&self.folder)
            .map_err(io("create a file in", &self.folder))
    }

    pub(super) fn get(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let path = self.path(digest);
        std::fs::read(&path).map_err(|source| missing_or("read", digest, &path, source))
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    pub(super) fn size(&self, digest: &Digest) -> Result<u64, Error> {
        let path = self.path(digest);
        let metadata = path.metadata().map_err(|source| missing_or("look at", digest, &path, source))?;
        Ok(metadata.len())
    }

    pub(super) fn remove(&self, digest: &Digest) -> Result<(), Error> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
        let path = self.path(digest);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// A lock of the folder itself, which a process that dies lets go.
    pub(super) fn hold(&self) -> Result<File, Error> {
        let folder = File::open(&self.folder).map_err(io("open", &self.folder))?;
        folder.lock_shared().map_err(io("lock", &self.folder))?;
        Ok(folder)
    }

    pub(super) fn hold_alone(&self) -> Result<Option<File>, Error> {
        let folder = File::open(&self.folder).map_err(io("open", &self.folder))?;
        match folder.try_lock() {
            Ok(()) => Ok(Some(folder)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io("lock", &self.folder)(error)),
        }
    }

    pub(super) fn older_than(&self, age: Duration) -> Result<Vec<Digest>, Error> {
        let now = SystemTime::now();
        let mut digests = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(io("list", &self.folder))? {
            let entry = entry.map_err(io("list", &self.folder))?;
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let old = modified.is_ok_and(|at| now.duration_since(at).is_ok_and(|since| since >= age));
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|_| old) else { continue };
            if let Ok(digest) = Digest::from_hex(name) {
                digests.push(digest);
            } else if name.starts_with(PARTIAL) {
                std::fs::remove_file(entry.path()).map_err(io("remove", &entry.path()))?;
            }
        }
        Ok(digests)
    }

    pub(super) fn check(&self, digest: &Digest) -> Result<(), Error> {
        if self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(digest) {
            return if self.contains(digest) { Ok(()) } else { Err(Error::Missing(*digest)) };
        }
        let path = self.path(digest);
        let mut file = File::open(&path).map_err(|source| missing_or("open", digest, &path, source))?;
        let found = copy(&mut file, std::io::sink()).map_err(io("read", &path))?;
        if found != *digest {
            return Err(Error::Damaged(*digest));
        }
        self.remember(found);
        Ok(())
    }

    fn remember(&self, digest: Digest) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(digest);
    }
}

/// Copies and hashes in one pass.
fn copy(from: &mut dyn Read, mut to: impl Write) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = chunk.get(..read).unwrap_or_default();
        hasher.update(bytes);
        to.write_all(bytes)?;
    }
}

fn missing_or(doing: &'static str, digest: &Digest, path: &Path, source: std::io::Error) -> Error {
    if source.kind() == ErrorKind::NotFound { Error::Missing(*digest) } else { io(doing, path)(source) }
}
