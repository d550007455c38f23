//! Objects as files, by tokio alone: whole and on disk before they have their name.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use crate::capabilities::floor::Floor;
use crate::capabilities::looper::key;

/// Bytes of one read, as our backend has it.
const READ_BYTES: usize = 256 << 10;

/// The file of a key, and its digest.
type Named = HashMap<String, (PathBuf, [u8; 32])>;

/// See the module.
#[derive(Clone)]
pub(super) struct Files(Arc<Inner>);

struct Inner {
    whole: PathBuf,
    unfinished: PathBuf,
    named: Mutex<Named>,
}

impl Files {
    pub(super) fn open(folder: PathBuf) -> Result<Self> {
        let (whole, unfinished) = (folder.join("whole"), folder.join("unfinished"));
        std::fs::create_dir_all(&whole).context("make a folder")?;
        std::fs::create_dir_all(&unfinished).context("make a folder")?;
        Ok(Self(Arc::new(Inner { whole, unfinished, named: Mutex::default() })))
    }

    pub(super) async fn put(&self, key: String, bytes: Bytes) -> Result<()> {
        let id = Uuid::new_v4().simple().to_string();
        let (from, to) = (self.0.unfinished.join(&id), self.0.whole.join(&id));
        let mut file = File::create_new(&from).await?;
        let digest = Sha256::digest(&bytes).into();
        file.write_all(&bytes).await?;
        file.flush().await?;
        let path = to.clone();
        tokio::task::spawn_blocking(move || finish(&from, &to)).await.context("finish a file")??;
        let replaced = self.named().insert(key, (path, digest));
        if let Some((replaced, _)) = replaced {
            tokio::fs::remove_file(replaced).await?;
        }
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<()> {
        let (path, digest) = self.named().get(key).cloned().context("a key is missing")?;
        let mut file = File::open(path).await?;
        let mut hash = Sha256::new();
        loop {
            let mut chunk = vec![0; READ_BYTES];
            let read = file.read(&mut chunk).await?;
            chunk.truncate(read);
            if read == 0 {
                break;
            }
            hash.update(&chunk);
        }
        let found: [u8; 32] = hash.finalize().into();
        ensure!(found == digest, "a file is damaged");
        Ok(())
    }

    fn named(&self) -> std::sync::MutexGuard<'_, Named> {
        self.0.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn putting(&self, whole: Bytes, keys: u64) -> Floor {
        let files = self.clone();
        Floor::new(move |number| {
            // A guest's bytes are copied out of its memory; the floor's are made anew, too.
            let (files, bytes) = (files.clone(), Bytes::copy_from_slice(&whole));
            async move { files.put(key(number, keys), bytes).await }
        })
    }

    pub(super) fn getting(&self, keys: u64) -> Floor {
        let files = self.clone();
        Floor::new(move |number| {
            let files = files.clone();
            async move { files.get(&key(number, keys)).await }
        })
    }
}

fn finish(from: &Path, to: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).open(from)?;
    file.set_modified(SystemTime::now())?;
    file.sync_all()?;
    std::fs::rename(from, to)?;
    let Some(folder) = to.parent() else { return Ok(()) };
    std::fs::File::open(folder)?.sync_all()
}
