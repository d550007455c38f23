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
///
/// Removes nothing while somebody has a [`Store::hold`]: the next round will.
pub fn collect(store: &Store, key: &Key, live: &HashSet<Digest>, age: Duration) -> Result<Collected, Error> {
    let Some(_held) = store.hold_alone()? else { return Ok(Collected::default()) };
    let keep = reachable(store, key, live)?;
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
    if store.is_to_collect_shared()? {
        store.collect_shared(&keep, age)?;
    }
    Ok(collected)
}

/// `live` and what the manifests among them name.
///
/// # Errors
/// When one cannot be read now: what it names is not known.
pub fn reachable(store: &Store, key: &Key, live: &HashSet<Digest>) -> Result<HashSet<Digest>, Error> {
    let mut all = live.clone();
    for digest in live {
        match read_manifest(store, key, digest) {
            Ok(manifest) => {
                all.extend([manifest.component, manifest.native]);
                all.extend(manifest.descriptors);
            }
            // What is not a manifest is kept by its own name alone.
            Err(
                Error::ManifestSize { .. } | Error::Signature(_) | Error::Manifest(_) | Error::Missing(_),
            ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}
