//! The builder's folders below the data folder, and who owns them.
//!
//! ```text
//! build/jobs/<job>/                         one build; removed with it, and at start
//! build/cache/<namespace>/cargo/            downloads, written by fetches only, read by builds
//! build/cache/<namespace>/fetched/          which lock files the downloads are complete for
//! build/cache/<namespace>/services/<name>/  what the compiler keeps of one service
//! build/sdk/<digest>/                       the SDK crates
//! ```
//!
//! As root each cached folder belongs to a user id of its own, taken from a range that no account of the machine uses;
//! the folder's owner is the record of it. Runs in a folder use its id, so no build can touch another service's files
//! even if the mounts failed. Each data folder begins elsewhere in the range: processes are counted by user, so a fork
//! bomb below one server would starve the builds of another that used the same ids. Caches are bounded: the least
//! recently used folder goes first.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use micro_api::{Namespace, ServiceName};
use parking_lot::Mutex;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::sandbox::tree;

/// User ids of sandboxes: above those of accounts, of subordinate ids and of systemd's services and containers.
const UID_BASE: u32 = 2_000_000_000;
/// The same where ids are mapped and only 16 bits of them: above those of accounts, below systemd's.
const UID_BASE_SMALL: u32 = 50_000;
const UIDS: u32 = 8_000;

/// A folder that belongs to one user id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) path: PathBuf,
    pub(crate) uid: u32,
}

#[derive(Debug)]
pub(crate) struct Folders {
    build: PathBuf,
    /// As root: the ids that folders have. Otherwise all folders are ours.
    uids: Option<Mutex<HashSet<u32>>>,
    uid_base: u32,
    /// Where in the range the search for a free id begins.
    uid_offset: u32,
    locks: Mutex<HashMap<PathBuf, Arc<RwLock<()>>>>,
}

impl Folders {
    /// Opens them, and removes what a builder that died left of its jobs.
    pub(crate) fn open(data: &Path) -> Result<Self> {
        let build = data.join("build");
        make(&build)?;
        let jobs = build.join("jobs");
        if jobs.exists() {
            std::fs::remove_dir_all(&jobs).context("remove the remains of earlier jobs")?;
        }
        for name in ["jobs", "cache", "sdk"] {
            make(&build.join(name))?;
        }
        let root = rustix::process::geteuid().is_root();
        let folders = Self {
            uids: root.then(Mutex::default),
            uid_base: if maps_uid(UID_BASE + UIDS) { UID_BASE } else { UID_BASE_SMALL },
            uid_offset: offset(&build),
            locks: Mutex::default(),
            build,
        };
        if let Some(uids) = &folders.uids {
            let cached = folders.cached();
            uids.lock()
                .extend(cached.iter().filter_map(|path| path.metadata().ok()).map(|found| found.uid()));
        }
        Ok(folders)
    }

    pub(crate) fn build(&self) -> &Path {
        &self.build
    }

    /// A new folder for a job. Removed when the value is dropped.
    pub(crate) fn job(&self, id: &str) -> Result<Job> {
        let path = self.build.join("jobs").join(id);
        if path.exists() {
            std::fs::remove_dir_all(&path).context("remove the remains of a job")?;
        }
        make(&path)?;
        Ok(Job { path })
    }

    /// The namespace's downloads.
    pub(crate) fn cargo(&self, namespace: &Namespace) -> Result<Owned> {
        // Builds read it as their own users; nobody else gets past the folders above.
        self.owned(self.namespace(namespace).join("cargo"), 0o755)
    }

    /// Where it is noted which lock files the downloads are complete for.
    pub(crate) fn fetched(&self, namespace: &Namespace) -> Result<PathBuf> {
        let path = self.namespace(namespace).join("fetched");
        make(&path)?;
        Ok(path)
    }

    /// What the compiler keeps of a service.
    pub(crate) fn service(&self, namespace: &Namespace, name: &ServiceName) -> Result<Owned> {
        let short = format!("{}.{}", name.kind, name.alias());
        self.owned(self.namespace(namespace).join("services").join(short), PRIVATE)
    }

    /// Gives a folder and its contents to a user id, as root.
    pub(crate) fn give(&self, path: &Path, uid: u32) -> Result<()> {
        if self.uids.is_some() {
            tree::give(path, uid).with_context(|| format!("give {} away", path.display()))?;
        }
        Ok(())
    }

    /// One build of a service at a time.
    pub(crate) async fn lock(&self, folder: &Path) -> OwnedRwLockWriteGuard<()> {
        self.lock_of(folder).write_owned().await
    }

    /// Several may use it, nobody may remove it.
    pub(crate) async fn share(&self, folder: &Path) -> OwnedRwLockReadGuard<()> {
        self.lock_of(folder).read_owned().await
    }

    fn lock_of(&self, folder: &Path) -> Arc<RwLock<()>> {
        let mut locks = self.locks.lock();
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(folder.to_owned()).or_default())
    }

    /// Removes least recently used caches until at most `bytes_max` are left. Walks them all: call it on a blocking
    /// thread.
    pub(crate) fn prune(&self, bytes_max: u64) -> Result<()> {
        let mut caches: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for path in self.cached() {
            let used = path.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            caches.push((used, tree::usage(&path, u64::MAX), path));
        }
        caches.sort();
        let mut total = caches.iter().fold(0u64, |sum, (_, bytes, _)| sum.saturating_add(*bytes));
        for (_, bytes, path) in caches {
            if total <= bytes_max {
                break;
            }
            if self.discard(&path)? {
                total = total.saturating_sub(bytes);
            }
        }
        Ok(())
    }

    /// Removes a cache, unless it is in use.
    pub(crate) fn discard(&self, path: &Path) -> Result<bool> {
        let lock = self.lock_of(path);
        let Ok(_guard) = lock.try_write() else { return Ok(false) };
        self.remove(path)?;
        Ok(true)
    }

    /// Removes a cache that the caller has locked.
    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        let owner = path.metadata().map(|found| found.uid());
        if path.ends_with("cargo") {
            let _ = std::fs::remove_dir_all(path.with_file_name("fetched"));
        }
        std::fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))?;
        if let (Some(uids), Ok(owner)) = (&self.uids, owner) {
            uids.lock().remove(&owner);
        }
        Ok(())
    }

    fn namespace(&self, namespace: &Namespace) -> PathBuf {
        self.build.join("cache").join(namespace.as_str())
    }

    fn cached(&self) -> Vec<PathBuf> {
        let list = |path: &Path| {
            std::fs::read_dir(path)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .collect::<Vec<_>>()
        };
        let mut found = Vec::new();
        for namespace in list(&self.build.join("cache")) {
            let cargo = namespace.join("cargo");
            found.extend(cargo.exists().then_some(cargo));
            found.extend(list(&namespace.join("services")));
        }
        found
    }

    /// Makes a folder that belongs to an id of its own, or finds it. It counts as just used.
    fn owned(&self, path: PathBuf, mode: u32) -> Result<Owned> {
        make(path.parent().context("no parent")?)?;
        make_with(&path, mode)?;
        let now = std::fs::FileTimes::new().set_modified(SystemTime::now());
        std::fs::File::open(&path).and_then(|file| file.set_times(now)).context("note the use of a cache")?;
        let owner = path.metadata().context("look at a cache")?.uid();
        let Some(uids) = &self.uids else { return Ok(Owned { path, uid: owner }) };
        let range = self.uid_base..self.uid_base + UIDS;
        if range.contains(&owner) {
            return Ok(Owned { path, uid: owner });
        }
        let uid = {
            let mut uids = uids.lock();
            let mut all = (0..UIDS).map(|n| self.uid_base + (self.uid_offset + n) % UIDS);
            let Some(free) = all.find(|uid| !uids.contains(uid)) else {
                bail!("all {UIDS} user ids of sandboxes are taken: lower --cache_max");
            };
            uids.insert(free);
            free
        };
        tree::give(&path, uid).context("give a cache to its user")?;
        Ok(Owned { path, uid })
    }
}

/// A job's own folder.
#[derive(Debug)]
pub(crate) struct Job {
    path: PathBuf,
}

impl Job {
    /// A folder in it, made on first use.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        make(&path)?;
        Ok(path)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "Cannot remove a job's folder");
        }
    }
}

/// Only root, or the sandbox that owns the folder.
const PRIVATE: u32 = 0o700;

fn make(path: &Path) -> Result<()> {
    make_with(path, PRIVATE)
}

/// Makes a folder with exactly this mode, or sets it: a mask of the process may have taken some away.
fn make_with(path: &Path, mode: u32) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.with_context(|| format!("make {}", path.display()))?;
    if path.metadata().is_ok_and(|found| found.permissions().mode() & 0o777 != mode) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .with_context(|| format!("restrict {}", path.display()))?;
    }
    Ok(())
}

/// A number below [`UIDS`] that other folders are unlikely to have. The owners of folders are the record of what was
/// chosen, so it may change.
fn offset(folder: &Path) -> u32 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    u32::try_from(hasher.finish() % u64::from(UIDS)).unwrap_or(0)
}

/// Whether this process's user namespace knows an id.
fn maps_uid(uid: u32) -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().filter_map(|number| number.parse::<u64>().ok());
        matches!((numbers.next(), numbers.nth(1)), (Some(first), Some(count))
            if (first..first.saturating_add(count)).contains(&u64::from(uid)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_have_owners_and_the_oldest_goes_first() {
        let scratch = tempfile::tempdir().unwrap();
        let folders = Folders::open(scratch.path()).unwrap();
        let namespace = Namespace::default();
        let a = folders.service(&namespace, &"a".parse().unwrap()).unwrap();
        let b = folders.service(&namespace, &"b".parse().unwrap()).unwrap();
        if rustix::process::geteuid().is_root() {
            assert_ne!(a.uid, b.uid);
            assert_eq!(a.path.metadata().unwrap().uid(), a.uid);
        }
        std::fs::write(a.path.join("file"), vec![0; 1 << 20]).unwrap();
        std::fs::write(b.path.join("file"), vec![0; 1 << 20]).unwrap();
        std::fs::create_dir_all(scratch.path().join("build/jobs/dead")).unwrap();
        let folders = Folders::open(scratch.path()).unwrap();
        assert!(!scratch.path().join("build/jobs/dead").exists());
        assert_eq!(folders.service(&namespace, &"b".parse().unwrap()).unwrap(), b);
        folders.prune(3 << 19).unwrap();
        assert!(!a.path.exists() && b.path.exists());
    }

    #[tokio::test]
    async fn a_cache_in_use_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let folders = Folders::open(scratch.path()).unwrap();
        let cache = folders.service(&Namespace::default(), &"a".parse().unwrap()).unwrap();
        let guard = folders.lock(&cache.path).await;
        assert!(!folders.discard(&cache.path).unwrap());
        drop(guard);
        assert!(folders.discard(&cache.path).unwrap());
    }
}
