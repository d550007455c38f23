//! The key that signs manifests: it tells what this platform built from what someone else put in the folder.

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hmac::{Hmac, Mac};
use rand::TryRngCore;
use sha2::Sha256;

use crate::{Error, io};

const KEY_BYTES: usize = 32;

/// An HMAC-SHA256 key. Its text is never shown.
#[derive(Clone)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// Reads the key at `path`; makes it (0600) when there is none. Two processes that start at once get one key.
    ///
    /// Fails when others may read the file, or when it is no key.
    pub fn open(path: &Path) -> Result<Self, Error> {
        match Self::read(path) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Self::create(path)?;
                Self::read(path)
            }
            other => other,
        }
    }

    /// As [`Key::open`], but a key that is made has these bytes: those of the other nodes.
    ///
    /// Fails when another key is there.
    pub fn open_shared(path: &Path, bytes: [u8; KEY_BYTES]) -> Result<Self, Error> {
        let found = match Self::read(path) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Self::write(path, &bytes)?;
                Self::read(path)?
            }
            other => other?,
        };
        if found.0 != bytes {
            let problem =
                "is not the key of the other nodes: move it away, and what this node built is built again";
            return Err(Error::Key { path: path.to_owned(), problem });
        }
        Ok(found)
    }

    /// The key itself, to be sealed for other nodes.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let mut file = std::fs::File::open(path).map_err(io("open", path))?;
        let mode = file.metadata().map_err(io("look at", path))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Error::Key {
                path: path.to_owned(),
                problem: "can be read by others: run chmod 600 on it",
            });
        }
        let mut bytes = Vec::with_capacity(KEY_BYTES);
        (&mut file).take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io("read", path))?;
        let key = <[u8; KEY_BYTES]>::try_from(bytes)
            .map_err(|_| Error::Key { path: path.to_owned(), problem: "does not hold 32 bytes" })?;
        Ok(Self(key))
    }

    fn create(path: &Path) -> Result<(), Error> {
        Self::write(path, &Self::random()?)
    }

    /// Bytes of a new key.
    pub fn random() -> Result<[u8; KEY_BYTES], Error> {
        let mut bytes = [0; KEY_BYTES];
        rand::rngs::OsRng
            .try_fill_bytes(&mut bytes)
            .map_err(|error| io("draw", Path::new("random bytes"))(std::io::Error::other(error)))?;
        Ok(bytes)
    }

    /// Writes a key beside `path` and links it in, so that nobody ever sees half a key.
    fn write(path: &Path, bytes: &[u8; KEY_BYTES]) -> Result<(), Error> {
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let partial = tempfile::Builder::new()
            .prefix(".key-")
            .permissions(std::fs::Permissions::from_mode(0o600))
            .tempfile_in(folder)
            .map_err(io("create a key in", folder))?;
        partial.as_file().write_all(bytes).map_err(io("write", path))?;
        partial.as_file().sync_all().map_err(io("sync", path))?;
        match partial.persist_noclobber(path) {
            Ok(_) => sync_folder(folder),
            // Another process was faster: its key counts.
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(io("rename", path)(error.error)),
        }
    }

    /// The MAC of `bytes`, as hex.
    pub(crate) fn sign(&self, bytes: &[u8]) -> String {
        hex::encode(self.mac(bytes).finalize().into_bytes())
    }

    /// Compares in constant time.
    pub(crate) fn check(&self, bytes: &[u8], signature: &[u8]) -> bool {
        hex::decode(signature).is_ok_and(|signature| self.mac(bytes).verify_slice(&signature).is_ok())
    }

    fn mac(&self, bytes: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of 32 bytes");
        mac.update(bytes);
        mac
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Makes renames in `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_one_key() {
        let scratch = tempfile::tempdir().unwrap();
        let (one, other) = (scratch.path().join("one"), scratch.path().join("other"));
        let first = Key::open(&one).unwrap();
        let second = Key::open_shared(&other, *first.expose()).unwrap();
        assert_eq!(first.sign(b"x"), second.sign(b"x"));
        assert_eq!(Key::open(&other).unwrap().sign(b"x"), second.sign(b"x"));
        let refused = Key::open_shared(&one, [7; KEY_BYTES]).unwrap_err().to_string();
        assert!(refused.contains("not the key of the other nodes"), "{refused}");
    }

    #[test]
    fn the_key_is_made_once_and_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("artifact.key");
        let first = Key::open(&path).unwrap();
        assert_eq!(first.sign(b"x"), Key::open(&path).unwrap().sign(b"x"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(format!("{first:?}"), "Key");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("artifact.key");
        Key::open(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Key::open(&path), Err(Error::Key { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, b"short").unwrap();
        assert!(matches!(Key::open(&path), Err(Error::Key { .. })));
    }
}
