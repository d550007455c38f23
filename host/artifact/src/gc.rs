//! Removing artifacts that no revision needs any more.

use std::collections::HashSet;
use std::time::Duration;

use crate::{Digest, Error, Key, Store, read_manifest};

/// What a collection did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Artifacts that stay.
    pub kept: usize,
    /// Artifacts that went.
    pub removed: usize,
    /// Bytes that went.
    pub bytes: u64,
}

/// Removes each artifact that is older than `age`, is not one of `live` and is not named by the manifest of one of
/// them. `age` must exceed the time a build takes from its first `put` to the row that makes its revision live.
///
/// `live` holds revisions and whatever else must stay, such as what build caches name.
pub fn collect(store: &Store, key: &Key, live: &HashSet<Digest>, age: Duration) -> Result<Collected, Error> {
    let mut keep = live.clone();
    for digest in live {
        // What is not a manifest is kept by its own name alone.
        if let Ok(manifest) = read_manifest(store, key, digest) {
            keep.extend([manifest.component, manifest.native]);
            keep.extend(manifest.descriptors);
        }
    }
    let mut collected = Collected::default();
    for digest in store.older_than(age)? {
        if keep.contains(&digest) {
            collected.kept += 1;
            continue;
        }
        collected.bytes += store.size(&digest).unwrap_or(0);
        store.remove(&digest)?;
        collected.removed += 1;
    }
    Ok(collected)
}
