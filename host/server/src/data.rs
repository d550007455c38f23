//! The data folder: who may read it, and that one process has it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;

/// The folder inside in which a restore works until all is there.
pub(crate) const UNFINISHED: &str = ".restore";

/// The folder, held by this process until it ends.
pub(crate) struct DataFolder {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder (0700), refuses one that others may enter, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("make the data folder {}", path.display()))?;
        let metadata = path.metadata().with_context(|| format!("look at {}", path.display()))?;
        let me = rustix::process::geteuid().as_raw();
        if metadata.uid() != me {
            bail!("the data folder {} belongs to another user (uid {})", path.display(), metadata.uid());
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            bail!("others may enter the data folder {}: run `chmod 700 {}`", path.display(), path.display());
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .context("open the lock of the data folder")?;
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "another micro-server uses {}: stop it first, or choose another folder with --data",
                path.display()
            );
        }
        if path.join(UNFINISHED).exists() {
            bail!(
                "{} is being restored, or a restore was interrupted: remove what is in it and restore again",
                path.display()
            );
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The name of this node, the same after a restart.
    pub(crate) fn node_id(&self) -> Result<String> {
        let path = self.path.join("node");
        match std::fs::read_to_string(&path) {
            Ok(id) if uuid::Uuid::try_parse(id.trim()).is_ok() => return Ok(id.trim().to_owned()),
            Ok(_) => bail!("{} does not hold the name of a node: remove it", path.display()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        }
        let id = uuid::Uuid::new_v4().to_string();
        let partial = self.path.join("node.partial");
        std::fs::write(&partial, &id)
            .and_then(|()| std::fs::rename(&partial, &path))
            .context("name this node")?;
        Ok(id)
    }

    /// Tells where this process listens, for those who asked for port 0.
    pub(crate) fn write_addresses(&self, addresses: &Addresses) -> Result<()> {
        let text = serde_json::to_string_pretty(addresses).context("encode the addresses")?;
        let partial = self.path.join("addresses.json.partial");
        let mut file = File::create(&partial).context("create addresses.json")?;
        file.write_all(text.as_bytes()).context("write addresses.json")?;
        std::fs::rename(&partial, self.path.join("addresses.json")).context("rename addresses.json in")
    }
}

/// `addresses.json` in the data folder.
#[derive(Debug, Serialize)]
pub(crate) struct Addresses {
    pub(crate) pid: u32,
    pub(crate) api: SocketAddr,
    pub(crate) proxy: SocketAddr,
    pub(crate) web: SocketAddr,
    pub(crate) health: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_holds_the_folder() {
        let scratch = std::env::temp_dir().join(format!("micro-data-{}", std::process::id()));
        let first = DataFolder::open(&scratch).unwrap();
        let error = DataFolder::open(&scratch).err().unwrap().to_string();
        assert!(error.starts_with("another micro-server uses"), "{error}");
        drop(first);
        let id = DataFolder::open(&scratch).unwrap().node_id().unwrap();
        assert_eq!(DataFolder::open(&scratch).unwrap().node_id().unwrap(), id, "the same after a restart");
        std::fs::set_permissions(&scratch, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = DataFolder::open(&scratch).err().unwrap().to_string();
        assert!(error.contains("chmod 700"), "{error}");
        std::fs::remove_dir_all(&scratch).unwrap();
    }
}
