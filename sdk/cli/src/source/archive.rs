//! A folder as tar.gz: the same folder gives the same bytes, so that an unchanged source is recognised by its digest.
//!
//! Entries are sorted, times, owners and group are zero, modes are 0644 or 0755. Symbolic links stay links and must
//! not lead out of the folder.

use std::fs::{self, Metadata};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::{Compression, GzBuilder};
use ignore::WalkBuilder;
use tar::{EntryType, Header};
use tempfile::NamedTempFile;

use super::Folder;

/// Bytes of all files together, before compression.
const BYTES_MAX: u64 = 256 << 20;
const ENTRIES_MAX: usize = 50_000;
/// Names an ignore file of ours, with git's syntax.
const IGNORE_FILE: &str = ".microignore";
/// Folders that are never part of a source.
const LEFT_OUT: [&str; 2] = [".git", ".micro"];

/// A packed folder. The file is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) file: NamedTempFile,
    /// Of the packed file.
    pub(crate) size: u64,
}

/// Packs a folder. Blocks while it reads.
pub(crate) fn pack(folder: &Folder) -> Result<Archive> {
    let (base, entries) = entries(folder)?;
    if entries.is_empty() {
        bail!("nothing to upload: {} holds no file that is not ignored", folder.root.display());
    }
    check_size(&entries)?;
    let file = NamedTempFile::new().context("making a temporary file")?;
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(file, Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for entry in &entries {
        append(&mut tar, &base, entry)?;
    }
    let mut file = tar.into_inner()?.finish().context("writing the archive")?;
    file.flush().context("writing the archive")?;
    let size = file.as_file().metadata().context("writing the archive")?.len();
    Ok(Archive { file, size })
}

struct Entry {
    /// Relative to the root.
    path: PathBuf,
    metadata: Metadata,
}

/// The root's folder and its files and links, sorted by name.
fn entries(folder: &Folder) -> Result<(PathBuf, Vec<Entry>)> {
    let root = &folder.root;
    if root.is_file() {
        let name = root.file_name().unwrap_or_default();
        let metadata = root.metadata().with_context(|| format!("reading {}", root.display()))?;
        let base = root.parent().unwrap_or(root).to_owned();
        return Ok((base, vec![Entry { path: name.into(), metadata }]));
    }
    let mut paths = Vec::new();
    for entry in walk(folder).build() {
        let entry = entry.context("reading the folder")?;
        if entry.file_type().is_some_and(|kind| kind.is_file() || kind.is_symlink()) {
            paths.push(entry.into_path());
        }
        if paths.len() > ENTRIES_MAX {
            bail!("more than {ENTRIES_MAX} files: name what the build does not need in {IGNORE_FILE}");
        }
    }
    // The lock file decides what is built, whether or not git is told to ignore it.
    for place in [root.clone(), root.join(&folder.inside)] {
        let lock = place.join("Cargo.lock");
        if lock.is_file() && !lock.is_symlink() && !paths.contains(&lock) {
            paths.push(lock);
        }
    }
    paths.sort();
    let entry = |path: PathBuf| {
        let metadata = path.symlink_metadata().with_context(|| format!("reading {}", path.display()))?;
        let path = path.strip_prefix(root).map(Path::to_owned)?;
        if path.to_str().is_none() {
            bail!("the name {} is not UTF-8", path.display());
        }
        Ok(Entry { path, metadata })
    };
    Ok((root.clone(), paths.into_iter().map(entry).collect::<Result<_>>()?))
}

fn walk(folder: &Folder) -> WalkBuilder {
    let mut walk = WalkBuilder::new(&folder.root);
    walk.hidden(false)
        .follow_links(false)
        .ignore(false)
        // What one person ignores everywhere says nothing of the source.
        .git_global(false)
        .git_exclude(folder.in_repository)
        .parents(folder.in_repository)
        // In a repository, ignore files above it do not count; without one, a folder's own do.
        .require_git(folder.in_repository)
        .add_custom_ignore_filename(IGNORE_FILE)
        .filter_entry(|entry| {
            let left_out = LEFT_OUT.iter().any(|name| entry.file_name() == *name);
            // Cargo and others mark what can be made again.
            let cache = entry.file_type().is_some_and(|kind| kind.is_dir())
                && entry.path().join("CACHEDIR.TAG").is_file();
            entry.depth() == 0 || (!left_out && !cache)
        });
    walk
}

fn check_size(entries: &[Entry]) -> Result<()> {
    let size = |entry: &Entry| if entry.metadata.is_file() { entry.metadata.len() } else { 0 };
    let total: u64 = entries.iter().map(size).sum();
    if total <= BYTES_MAX {
        return Ok(());
    }
    let largest = entries.iter().max_by_key(|entry| size(entry));
    let largest = largest.map(|entry| format!("{} ({} MiB)", entry.path.display(), size(entry) >> 20));
    bail!(
        "the folder holds {} MiB, more than the {} MiB that can be uploaded; the largest file is {}: name what the \
         build does not need in {IGNORE_FILE}",
        total >> 20,
        BYTES_MAX >> 20,
        largest.unwrap_or_default()
    )
}

fn append(tar: &mut tar::Builder<impl Write>, root: &Path, entry: &Entry) -> Result<()> {
    let path = root.join(&entry.path);
    let failed = || format!("packing {}", entry.path.display());
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    if entry.metadata.is_symlink() {
        let target = fs::read_link(&path).with_context(failed)?;
        if escapes(root, &entry.path, &target) {
            bail!(
                "the link {} leads out of the folder, to {}: remove it or name it in {IGNORE_FILE}",
                entry.path.display(),
                target.display()
            );
        }
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        return tar.append_link(&mut header, &entry.path, &target).with_context(failed);
    }
    // Read at once, so that the size in the header is the size of the data.
    let data = fs::read(&path).with_context(failed)?;
    header.set_entry_type(EntryType::Regular);
    header.set_size(data.len() as u64);
    header.set_mode(if entry.metadata.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 });
    tar.append_data(&mut header, &entry.path, data.as_slice()).with_context(failed)
}

/// Whether a link leads above the root, by its own words or through other links.
fn escapes(root: &Path, link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return true,
            },
            Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    let real = root.join(link).canonicalize();
    real.is_ok_and(|real| root.canonicalize().is_ok_and(|root| !real.starts_with(root)))
}
