//! An uploaded archive to a folder: regular files and folders below it, links that stay inside, nothing else.

use std::collections::HashSet;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use tar::EntryType;

use crate::sandbox::tree;

/// Files and folders of one archive.
const ENTRIES_MAX: usize = 50_000;
/// Bytes of one path.
const PATH_BYTES_MAX: usize = 1024;

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "unpacked", rename_all = "lowercase")]
pub(crate) enum Unpacked {
    Done {
        files: usize,
        bytes: u64,
    },
    /// The archive's fault; the text is for its maker.
    Refused {
        text: String,
    },
}

/// Unpacks a `tar.gz`. `folder` exists and is empty.
pub(crate) fn unpack(archive: impl Read, folder: &Path, bytes_max: u64) -> Unpacked {
    let mut unpacking = Unpacking { folder, bytes_max, bytes: 0, files: 0, links: HashSet::new() };
    match unpacking.all(archive) {
        Ok(()) => Unpacked::Done { files: unpacking.files, bytes: unpacking.bytes },
        Err(text) => Unpacked::Refused { text },
    }
}

struct Unpacking<'a> {
    folder: &'a Path,
    bytes_max: u64,
    bytes: u64,
    files: usize,
    /// Links that were made: nothing may be written through them.
    links: HashSet<PathBuf>,
}

impl Unpacking<'_> {
    fn all(&mut self, archive: impl Read) -> Result<(), String> {
        // Headers and padding count too: an archive of empty files is no way around the limit.
        let plain_max = self.bytes_max.saturating_mul(2).saturating_add(ENTRIES_MAX as u64 * 2048);
        let plain = flate2::read::MultiGzDecoder::new(archive).take(plain_max);
        let mut archive = tar::Archive::new(plain);
        let broken = |error: std::io::Error| format!("the archive is damaged or no tar.gz: {error}");
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            self.files += 1;
            if self.files > ENTRIES_MAX {
                return Err(format!("the archive has more than {ENTRIES_MAX} files"));
            }
            self.one(&mut entry)?;
        }
        Ok(())
    }

    fn one(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), String> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            return Ok(());
        }
        let bytes = entry.path_bytes();
        let name = String::from_utf8_lossy(&bytes).escape_debug().to_string();
        let path = match std::str::from_utf8(&bytes) {
            Ok(text) => inner_path(text).ok_or_else(|| format!("`{name}` leads out of the archive"))?,
            Err(_) => return Err(format!("the name `{name}` is not UTF-8")),
        };
        drop(bytes);
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        if path.ancestors().any(|above| self.links.contains(above)) {
            return Err(format!("`{name}` lies below a link"));
        }
        match kind {
            EntryType::Directory => self.folder_at(&path),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(entry, &path, &name)
            }
            EntryType::Symlink => self.link(entry, path, &name),
            _ => Err(format!("`{name}` is neither a file nor a folder")),
        }
    }

    fn folder_at(&self, path: &Path) -> Result<(), String> {
        let result = DirBuilder::new().recursive(true).mode(0o755).create(self.folder.join(path));
        result.map_err(|error| format!("make `{}`: {error}", path.display()))
    }

    fn file(&mut self, entry: &mut tar::Entry<'_, impl Read>, path: &Path, name: &str) -> Result<(), String> {
        self.folder_at(path.parent().unwrap_or_else(|| Path::new("")))?;
        let executable = entry.header().mode().unwrap_or(0) & 0o100 != 0;
        let mode = if executable { 0o755 } else { 0o644 };
        // Never into a file that is there: no entry can write through what an earlier one made.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(self.folder.join(path))
            .map_err(|error| format!("write `{name}`: {error}"))?;
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let read = entry
                .read(&mut chunk)
                .map_err(|error| format!("the archive ends inside `{name}`: {error}"))?;
            if read == 0 {
                return Ok(());
            }
            self.bytes += read as u64;
            if self.bytes > self.bytes_max {
                return Err(format!("the source is larger than {} MiB", self.bytes_max >> 20));
            }
            let bytes = chunk.get(..read).unwrap_or_default();
            file.write_all(bytes).map_err(|error| format!("write `{name}`: {error}"))?;
        }
    }

    fn link(&mut self, entry: &tar::Entry<'_, impl Read>, path: PathBuf, name: &str) -> Result<(), String> {
        let target =
            entry.link_name().ok().flatten().ok_or_else(|| format!("the link `{name}` has no target"))?;
        if tree::escapes(&path, &target) {
            return Err(format!("the link `{name}` leads out of the source, to `{}`", target.display()));
        }
        self.folder_at(path.parent().unwrap_or_else(|| Path::new("")))?;
        std::os::unix::fs::symlink(&target, self.folder.join(&path))
            .map_err(|error| format!("make the link `{name}`: {error}"))?;
        self.links.insert(path);
        Ok(())
    }
}

/// A path that stays below its root, without `.`.
fn inner_path(text: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (text.len() <= PATH_BYTES_MAX && !text.contains('\0')).then_some(path)
}

#[cfg(test)]
mod tests;
