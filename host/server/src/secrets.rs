//! The master key: what secrets in the database are sealed with. It lies outside of the database, in a file of the data
//! folder unless the operator keeps it elsewhere.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use micro_artifact::Key;
use micro_auth::{MasterKey, Sealer};
use micro_db::Db;

use crate::config::Options;

/// The file in the data folder.
pub(crate) const FILE_NAME: &str = "master.key";
/// The file in the data folder of the key that signs revisions.
pub(crate) const ARTIFACT_KEY: &str = "artifact.key";
/// Its name among the keys that nodes share.
const ARTIFACT_KEY_NAME: &str = "artifact";
/// Far above what a key needs.
const FILE_BYTES_MAX: u64 = 4 * 1024;

/// The key of the environment, of the file that the operator names, or of the data folder, where it is made at the
/// first start. The one before, while it is being replaced, only opens.
pub(crate) async fn sealer(options: &Options, data: &Path, db: &Db) -> Result<Arc<Sealer>> {
    let path = data.join(FILE_NAME);
    let current = match known(options, data)? {
        Some(key) => key,
        None => {
            // A new key would open nothing of what is there, and hide that the right one is missing.
            let sealed = db.sealed().await.context("look for sealed secrets")?;
            if let Some(id) = micro_control::keys_of(&sealed).first() {
                bail!(
                    "the master key {id} is missing, by which secrets in the database are sealed: put its file at \
                     {} (mode 0600), or name it with --master_key_file or MICRO_MASTER_KEY",
                    path.display()
                );
            }
            made(&path)?
        }
    };
    let mut previous = Vec::new();
    if let Some(path) = &options.master_key_previous {
        previous.push(read(path)?);
    }
    Ok(Arc::new(Sealer::new(current, previous)))
}

/// The key that signs revisions on all nodes that share artifacts: the first one's, sealed in the database.
pub(crate) async fn shared_artifact_key(data: &Path, db: &Db, sealer: &Sealer) -> Result<Key> {
    let path = data.join(ARTIFACT_KEY);
    let place = micro_control::platform_key(ARTIFACT_KEY_NAME);
    let kept = match db.platform_key(ARTIFACT_KEY_NAME).await.context("look for the artifact key")? {
        Some(sealed) => sealed,
        None => {
            // This node's own, or what another one that starts at the same time was faster to keep.
            let own = if path.exists() { *Key::open(&path)?.expose() } else { Key::random()? };
            let sealed = sealer.seal(&place, &own);
            db.keep_platform_key(ARTIFACT_KEY_NAME, &sealed).await.context("keep the artifact key")?
        }
    };
    let plain = sealer.open(&place, &kept).context("open the artifact key")?;
    let bytes = plain.as_slice().try_into().context("the artifact key has another length")?;
    Ok(Key::open_shared(&path, bytes)?)
}

/// The key of the environment, of the file that the operator names, or of the data folder if one is there.
pub(crate) fn known(options: &Options, data: &Path) -> Result<Option<MasterKey>> {
    let path = data.join(FILE_NAME);
    match (&options.master_key, &options.master_key_file) {
        (Some(text), _) => parse(text.as_str()).context("read MICRO_MASTER_KEY").map(Some),
        (None, Some(path)) => read(path).map(Some),
        (None, None) if path.symlink_metadata().is_ok() => read(&path).map(Some),
        (None, None) => Ok(None),
    }
}

/// Where the operator keeps the key, in words.
pub(crate) fn place(options: &Options, data: &Path) -> String {
    match (&options.master_key, &options.master_key_file) {
        (Some(_), _) => "MICRO_MASTER_KEY".to_owned(),
        (None, Some(path)) => path.display().to_string(),
        (None, None) if data.join(FILE_NAME).exists() => data.join(FILE_NAME).display().to_string(),
        (None, None) => "a place that backup was not told".to_owned(),
    }
}

fn made(path: &Path) -> Result<MasterKey> {
    if path.symlink_metadata().is_ok() {
        return read(path);
    }
    let key = MasterKey::generate();
    let failed = || format!("write the master key {}", path.display());
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(failed)?;
    file.write_all(key.to_text().expose().as_bytes()).and_then(|()| file.sync_all()).with_context(failed)?;
    Ok(key)
}

/// A file that only its owner may read.
fn read(path: &Path) -> Result<MasterKey> {
    let failed = || format!("read the master key {}", path.display());
    let metadata = path.metadata().with_context(failed)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        bail!("others may read the master key {}: run `chmod 600 {}`", path.display(), path.display());
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        bail!("the master key {} belongs to another user (uid {})", path.display(), metadata.uid());
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).with_context(failed)?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).with_context(failed)?;
    parse(&text).with_context(failed)
}

fn parse(text: &str) -> Result<MasterKey> {
    MasterKey::parse(text.trim()).context("a master key is 32 bytes in hex or base64")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let first = made(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(made(&path).unwrap().id(), first.id());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(made(&path).err().unwrap().to_string().contains("chmod 600"));
    }

    #[test]
    fn what_is_no_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "short").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(format!("{:#}", read(&path).err().unwrap()).contains("32 bytes"));
    }
}
