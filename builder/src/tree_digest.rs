//! The content of a folder as one digest: paths, bytes, which files are executable, where links point.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use micro_artifact::{Digest, Hasher};
use rustix::fs::FileType;

use crate::sandbox::tree;

/// Files above this size are no part of any real source.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// Hashes a folder. Times and owners do not count.
pub(crate) fn of(folder: &Path) -> std::io::Result<Digest> {
    let mut entries: BTreeMap<Vec<u8>, (u8, Vec<u8>)> = BTreeMap::new();
    let mut failed = None;
    let whole = tree::walk(folder, &mut |entry| {
        let content = match entry.kind() {
            FileType::RegularFile => match tree::read(folder, entry.path, FILE_BYTES_MAX) {
                Ok(bytes) => {
                    let digest = Digest::of(&bytes.unwrap_or_default());
                    let executable = entry.stat.st_mode & 0o100 != 0;
                    (if executable { b'x' } else { b'f' }, digest.as_bytes().to_vec())
                }
                Err(error) => {
                    failed = Some(error);
                    return false;
                }
            },
            FileType::Symlink => {
                (b'l', entry.link().map(|target| target.as_os_str().as_bytes().to_vec()).unwrap_or_default())
            }
            _ => return true,
        };
        entries.insert(entry.path.as_os_str().as_bytes().to_vec(), content);
        true
    });
    if let Some(error) = failed {
        return Err(error);
    }
    if !whole {
        return Err(std::io::Error::other("the folder is deeper or larger than any real one"));
    }
    let mut hasher = Hasher::new();
    for (path, (kind, content)) in entries {
        for part in [path.as_slice(), &[kind], &content] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides() {
        let make = |text: &str, link: &str| {
            let scratch = tempfile::tempdir().unwrap();
            std::fs::create_dir(scratch.path().join("a")).unwrap();
            std::fs::write(scratch.path().join("a/file"), text).unwrap();
            std::os::unix::fs::symlink(link, scratch.path().join("link")).unwrap();
            of(scratch.path()).unwrap()
        };
        assert_eq!(make("x", "a"), make("x", "a"));
        assert_ne!(make("x", "a"), make("y", "a"));
        assert_ne!(make("x", "a"), make("x", "b"));
    }
}
