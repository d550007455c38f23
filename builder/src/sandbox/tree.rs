//! Looking at folders whose contents a stranger chose, without following a link out of them.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};

/// Entries looked at in one walk; a tree with more counts as too large.
const ENTRIES_MAX: u64 = 2_000_000;
/// Depth of one walk.
const DEPTH_MAX: usize = 256;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// One entry of a walk, with its path below the folder.
pub(crate) struct Entry<'a> {
    pub(crate) parent: &'a OwnedFd,
    pub(crate) name: &'a std::ffi::CStr,
    pub(crate) path: &'a Path,
    pub(crate) stat: rustix::fs::Stat,
}

impl Entry<'_> {
    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Where a symbolic link points.
    pub(crate) fn link(&self) -> Option<PathBuf> {
        use std::os::unix::ffi::OsStringExt;
        let target = rustix::fs::readlinkat(self.parent, self.name, Vec::new()).ok()?;
        Some(PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes())))
    }
}

/// Visits all below `folder` until `visit` says no. False when it did, or when the tree is deeper or larger than any
/// real one.
pub(crate) fn walk(folder: &Path, visit: &mut dyn FnMut(&Entry<'_>) -> bool) -> bool {
    let Ok(root) = rustix::fs::open(folder, FOLDER, Mode::empty()) else { return true };
    let mut left = ENTRIES_MAX;
    walk_into(root, Path::new(""), 0, &mut left, visit)
}

fn walk_into(
    folder: OwnedFd,
    path: &Path,
    depth: usize,
    left: &mut u64,
    visit: &mut dyn FnMut(&Entry<'_>) -> bool,
) -> bool {
    use std::os::unix::ffi::OsStrExt;
    // What vanishes during the walk is no concern.
    let Ok(entries) = Dir::read_from(&folder) else { return true };
    for entry in entries {
        let Ok(entry) = entry else { return true };
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if *left == 0 || depth >= DEPTH_MAX {
            return false;
        }
        *left -= 1;
        let Ok(stat) = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let path = path.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let entry = Entry { parent: &folder, name, path: &path, stat };
        if !visit(&entry) {
            return false;
        }
        if entry.kind() == FileType::Directory
            && let Ok(inner) = rustix::fs::openat(&folder, name, FOLDER, Mode::empty())
            && !walk_into(inner, &path, depth + 1, left, visit)
        {
            return false;
        }
    }
    true
}

/// Bytes on disk below `folder`; stops counting above `max`. A tree that is no real one counts as endless.
pub(crate) fn usage(folder: &Path, max: u64) -> u64 {
    let mut bytes = 0u64;
    let whole = walk(folder, &mut |entry| {
        bytes = bytes.saturating_add(u64::try_from(entry.stat.st_blocks).unwrap_or(0).saturating_mul(512));
        bytes <= max
    });
    if whole || bytes > max { bytes } else { u64::MAX }
}

/// Whether what lies below `folder` reached a bound of `max` bytes, as one file or together.
pub(crate) fn is_full(folder: &Path, max: u64) -> bool {
    let mut largest = 0;
    walk(folder, &mut |entry| {
        largest = largest.max(u64::try_from(entry.stat.st_size).unwrap_or(0));
        largest < max
    });
    largest >= max || usage(folder, max) > max
}

/// Gives `folder` and all below it to `uid`.
pub(crate) fn give(folder: &Path, uid: u32) -> std::io::Result<()> {
    let owner = Some(rustix::fs::Uid::from_raw(uid));
    let group = Some(rustix::fs::Gid::from_raw(uid));
    rustix::fs::chownat(rustix::fs::CWD, folder, owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
    let mut failed = None;
    walk(folder, &mut |entry| {
        if entry.stat.st_uid == uid {
            return true;
        }
        match rustix::fs::chownat(entry.parent, entry.name, owner, group, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => true,
            Err(error) => {
                failed = Some(error);
                false
            }
        }
    });
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Reads a regular file below `folder` that has at most `max` bytes. Links may lead anywhere inside the folder, never
/// out of it. `Ok(None)`: there is none.
pub(crate) fn read(folder: &Path, path: &Path, max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let Some(file) = open(folder, path)? else { return Ok(None) };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    if metadata.len() > max {
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("larger than {} MiB", max >> 20),
        ));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.take(max).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Opens what lies at `path` below `folder`, for reading, the same way.
pub(crate) fn open(folder: &Path, path: &Path) -> std::io::Result<Option<std::fs::File>> {
    let root = rustix::fs::open(folder, FOLDER, Mode::empty())?;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    // A pipe or device must not block or act.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(file) => Ok(Some(file.into())),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(rustix::io::Errno::XDEV) => Err(std::io::Error::other("a link leads out of the folder")),
        Err(error) => Err(error.into()),
    }
}

/// Names in a folder below `folder`, at most `max`. Those that are not UTF-8 are left out.
pub(crate) fn list(folder: &Path, path: &Path, max: usize) -> std::io::Result<Vec<String>> {
    let Some(inner) = open(folder, path)? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in Dir::read_from(&inner)?.take(max) {
        names.extend(entry?.file_name().to_str().ok().map(str::to_owned));
    }
    Ok(names)
}

/// The first symbolic link below `folder` that leads out of it, with where it leads.
pub(crate) fn escaping_link(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut found = None;
    walk(folder, &mut |entry| {
        if entry.kind() == FileType::Symlink
            && let Some(target) = entry.link()
            && escapes(entry.path, &target)
        {
            found = Some((entry.path.to_owned(), target));
        }
        found.is_none()
    });
    found
}

/// Whether a link at `path` to `target` leads above the root that `path` counts from.
pub(crate) fn escapes(path: &Path, target: &Path) -> bool {
    use std::path::Component;
    let mut depth = path.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::RootDir | Component::Prefix(_) => return true,
            Component::ParentDir if depth == 0 => return true,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_a_tree_are_found() {
        assert!(escapes(Path::new("a"), Path::new("/etc/passwd")));
        assert!(escapes(Path::new("a/b"), Path::new("../../x")));
        assert!(escapes(Path::new("a/b"), Path::new("c/../../../x")));
        assert!(!escapes(Path::new("a/b"), Path::new("../x")));
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(scratch.path().join("in")).unwrap();
        std::os::unix::fs::symlink("../file", scratch.path().join("in/good")).unwrap();
        assert_eq!(escaping_link(scratch.path()), None);
        std::os::unix::fs::symlink("../../file", scratch.path().join("in/bad")).unwrap();
        assert_eq!(escaping_link(scratch.path()), Some(("in/bad".into(), "../../file".into())));
    }

    #[test]
    fn reading_stays_inside() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("in");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(scratch.path().join("secret"), b"s").unwrap();
        std::fs::write(folder.join("file"), b"four").unwrap();
        std::os::unix::fs::symlink("../secret", folder.join("out")).unwrap();
        std::os::unix::fs::symlink("file", folder.join("alias")).unwrap();
        assert_eq!(read(&folder, Path::new("alias"), 4).unwrap().unwrap(), b"four");
        assert_eq!(read(&folder, Path::new("none"), 4).unwrap(), None);
        assert!(read(&folder, Path::new("out"), 4).unwrap_err().to_string().contains("leads out"));
        assert!(read(&folder, Path::new("../secret"), 4).is_err());
        assert_eq!(read(&folder, Path::new("file"), 3).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
        assert!(read(&folder, Path::new(""), 4).is_err());
    }

    #[test]
    fn usage_counts_and_stops() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(scratch.path().join("deep")).unwrap();
        std::fs::write(scratch.path().join("deep/file"), vec![1; 1 << 20]).unwrap();
        let used = usage(scratch.path(), u64::MAX);
        assert!((1 << 20..2 << 20).contains(&used), "{used}");
        assert!(is_full(scratch.path(), 1 << 20) && !is_full(scratch.path(), 2 << 20));
    }
}
