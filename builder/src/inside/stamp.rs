//! Cargo rebuilds what is newer than its last build, and each fetch writes every file anew. Files whose bytes are those
//! of the last build get their old time back, all others are "now".

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, FileType, Timespec, Timestamps};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::sandbox::tree;

/// Files that are remembered; in a larger tree all are "now".
const FILES_MAX: usize = 50_000;
/// Larger files are "now" each time.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Bytes of the record.
const RECORD_BYTES_MAX: u64 = 32 << 20;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    files: BTreeMap<String, Known>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    hash: String,
    seconds: i64,
    nanos: i64,
}

pub(super) fn stamp(folder: &Path, record: &Path) -> Result<()> {
    let parent = record.parent().context("no folder for the record")?;
    let name = record.file_name().context("no name for the record")?;
    let before: Record = tree::read(parent, Path::new(name), RECORD_BYTES_MAX)
        .ok()
        .flatten()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let mut after = Record::default();
    tree::walk(folder, &mut |entry| {
        let size = u64::try_from(entry.stat.st_size).unwrap_or(u64::MAX);
        if entry.kind() != FileType::RegularFile || after.files.len() >= FILES_MAX {
            return true;
        }
        let path = String::from_utf8_lossy(entry.path.as_os_str().as_bytes()).into_owned();
        let known = (size <= FILE_BYTES_MAX)
            .then(|| tree::read(folder, entry.path, FILE_BYTES_MAX).ok().flatten())
            .flatten()
            .map(|bytes| hex::encode(Sha256::digest(&bytes)))
            .map(|hash| match before.files.get(&path) {
                Some(old) if old.hash == hash => old.clone(),
                _ => Known { hash, seconds: now.tv_sec, nanos: now.tv_nsec },
            });
        let time =
            known.as_ref().map_or(now, |known| Timespec { tv_sec: known.seconds, tv_nsec: known.nanos });
        let times = Timestamps { last_access: time, last_modification: time };
        let _ = rustix::fs::utimensat(entry.parent, entry.name, &times, AtFlags::SYMLINK_NOFOLLOW);
        after.files.extend(known.map(|known| (path, known)));
        true
    });
    let text = serde_json::to_vec(&after).context("write the record")?;
    let partial = record.with_extension("partial");
    std::fs::write(&partial, text).context("write the record")?;
    std::fs::rename(&partial, record).context("write the record")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changed_files_are_new() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("src");
        std::fs::create_dir(&folder).unwrap();
        let record = scratch.path().join("record");
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        let time = |name: &str| folder.join(name).metadata().unwrap().modified().unwrap();
        write("a", "1");
        write("b", "1");
        stamp(&folder, &record).unwrap();
        let first = (time("a"), time("b"));
        write("a", "1");
        write("b", "2");
        stamp(&folder, &record).unwrap();
        assert_eq!(time("a"), first.0);
        assert!(time("b") > first.1);
    }
}
