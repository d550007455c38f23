//! Records in a file: every change is appended, and read back in order. A change that was cut short is no change.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Kept;

/// Begins each file.
const HEADER: &[u8] = b"micro store 1\n";
/// A change in a file: kind, lengths of key and value, expiry in Unix milliseconds or 0.
const FIXED_BYTES: usize = 1 + 4 + 4 + 8;

/// What became of a key.
pub(super) type Entry = (String, Option<Kept>);

/// An open file, which no other test has meanwhile.
pub(super) struct Log(File);

/// The file of this test in a folder, which may not be there yet.
pub(super) fn path(folder: &Path) -> PathBuf {
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
    let thread = std::thread::current();
    let test = match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => format!("main {}", std::process::id()),
    };
    let fine = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = format!("{package} {test}").chars().map(fine).collect();
    folder.join(name).with_extension("store")
}

impl Log {
    /// Opens a file, waits for whoever has it, and reads what it holds; `empty` forgets that instead.
    pub(super) fn open(path: &Path, empty: bool) -> io::Result<(Self, Vec<Entry>)> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        file.lock()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // A header that was cut short is the beginning of it.
        if HEADER.starts_with(&bytes) {
            file.set_len(0)?;
            file.write_all(HEADER)?;
            return Ok((Self(file), Vec::new()));
        }
        let Some(changes) = bytes.strip_prefix(HEADER) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it holds something else than records of a test",
            ));
        };
        if empty {
            file.set_len(HEADER.len() as u64)?;
            return Ok((Self(file), Vec::new()));
        }
        let (mut entries, mut rest) = (Vec::new(), changes);
        while let Some((batch, after)) = framed(rest) {
            let Some(batch) = decode(batch) else { break };
            entries.extend(batch);
            rest = after;
        }
        // What was cut short goes, so that the next change follows the last whole one.
        file.set_len((bytes.len() - rest.len()) as u64)?;
        Ok((Self(file), entries))
    }

    /// Adds changes that happen together.
    pub(super) fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut batch = Vec::new();
        for (key, kept) in entries {
            let (value, expires) = match kept {
                Some((value, expires)) => (value.as_slice(), expires.map_or(0, millis)),
                None => (&[][..], 0),
            };
            batch.push(u8::from(kept.is_some()));
            batch.extend(length(key.len())?);
            batch.extend(length(value.len())?);
            batch.extend(expires.to_le_bytes());
            batch.extend(key.as_bytes());
            batch.extend(value);
        }
        let mut frame = length(batch.len())?.to_vec();
        frame.extend(batch);
        self.0.write_all(&frame)
    }
}

fn length(bytes: usize) -> io::Result<[u8; 4]> {
    let length = u32::try_from(bytes);
    length.map(u32::to_le_bytes).map_err(|_| io::Error::other("more than 4 GiB in one change"))
}

fn millis(at: SystemTime) -> u64 {
    // 0 is never.
    let millis = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(millis).unwrap_or(u64::MAX).max(1)
}

/// The first frame, and what follows; none where it is not whole.
fn framed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

fn decode(mut batch: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !batch.is_empty() {
        let (fixed, rest) = batch.split_first_chunk::<FIXED_BYTES>()?;
        let [kind, fixed @ ..] = fixed;
        let (key, fixed) = fixed.split_first_chunk::<4>()?;
        let (value, expires) = fixed.split_first_chunk::<4>()?;
        let expires = u64::from_le_bytes(expires.try_into().ok()?);
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key) as usize)?;
        let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value) as usize)?;
        let expires = (expires > 0).then(|| UNIX_EPOCH + Duration::from_millis(expires));
        let kept = (*kind == 1).then(|| (value.to_vec(), expires));
        entries.push((String::from_utf8(key.to_vec()).ok()?, kept));
        batch = rest;
    }
    Some(entries)
}
