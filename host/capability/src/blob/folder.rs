//! Objects as files: `<folder>/<first two digits of the id>/<id>`, and `<folder>/unfinished/<id>` until they are whole.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;

use super::{Chunks, Error, Found, ObjectId, Objects, Sink};

const UNFINISHED: &str = "unfinished";
/// Bytes of one chunk that is read.
const READ_BYTES: u64 = 256 << 10;
/// Bytes of an object that wait in memory for the next write.
const WRITE_BYTES: usize = 256 << 10;

/// A folder of this machine, of one platform alone.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

fn failed(doing: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::Backend(format!("{doing}: {error}"))
}

fn is_missing(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

impl Folder {
    /// Opens it, and makes it when it is not there.
    ///
    /// # Errors
    /// [`Error::Backend`] when it cannot be made.
    pub fn open(path: PathBuf) -> Result<Self, Error> {
        let make =
            |name: &str| std::fs::create_dir_all(path.join(name)).map_err(failed("make a folder of blobs"));
        make(UNFINISHED)?;
        for shard in 0..=u8::MAX {
            make(&format!("{shard:02x}"))?;
        }
        sync_folder(&path)?;
        Ok(Self(path))
    }

    fn path(&self, id: &ObjectId) -> PathBuf {
        self.0.join(shard(id)).join(id.as_str())
    }
}

fn shard(id: &ObjectId) -> &str {
    id.as_str().get(..2).unwrap_or_default()
}

/// A new name in a folder survives a crash only after this.
fn sync_folder(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("sync a folder of blobs"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::Backend(error.to_string())))
}

/// What is written waits in memory until it is worth a trip to the disk: a small object takes one, at its end.
struct Writer {
    waiting: Vec<u8>,
    /// None as long as all waits.
    file: Option<File>,
    unfinished: PathBuf,
    path: PathBuf,
}

impl Writer {
    /// Writes what waits, and more.
    async fn flush(&mut self, more: Bytes) -> Result<(), Error> {
        let (waiting, file, path) =
            (std::mem::take(&mut self.waiting), self.file.take(), self.unfinished.clone());
        let file = blocking(move || {
            let mut file = made(file, &path)?;
            file.write_all(&waiting).and_then(|()| file.write_all(&more)).map_err(failed("write a blob"))?;
            Ok(file)
        });
        self.file = Some(file.await?);
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Not there any more when it was finished. What stays for another reason, the sweep clears.
        drop(std::fs::remove_file(&self.unfinished));
    }
}

#[async_trait]
impl Sink for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        if self.waiting.len() + chunk.len() >= WRITE_BYTES {
            return self.flush(chunk).await;
        }
        self.waiting.extend_from_slice(&chunk);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), Error> {
        let (waiting, file) = (std::mem::take(&mut self.waiting), self.file.take());
        let (from, to) = (self.unfinished.clone(), self.path.clone());
        blocking(move || {
            let mut file = made(file, &from)?;
            file.write_all(&waiting).map_err(failed("write a blob"))?;
            // The sweep goes by the age: of an upload that stood still for long, it must begin now.
            file.set_modified(SystemTime::now()).map_err(failed("date a blob"))?;
            file.sync_all().map_err(failed("sync a blob"))?;
            std::fs::rename(&from, &to).map_err(failed("name a blob"))?;
            to.parent().map_or(Ok(()), sync_folder)
        })
        .await
    }
}

/// The file of an unfinished object.
fn made(file: Option<File>, path: &Path) -> Result<File, Error> {
    file.map_or_else(|| File::create_new(path).map_err(failed("make a blob")), Ok)
}

/// At most so many bytes, as many as one read takes.
fn next_chunk(file: &File, length: u64) -> Result<Bytes, Error> {
    // It fits.
    let mut chunk = Vec::with_capacity(length.min(READ_BYTES) as usize);
    file.take(length.min(READ_BYTES)).read_to_end(&mut chunk).map_err(failed("read a blob"))?;
    Ok(chunk.into())
}

#[async_trait]
impl Objects for Folder {
    async fn create(&self, id: &ObjectId) -> Result<Box<dyn Sink>, Error> {
        let unfinished = self.0.join(UNFINISHED).join(id.as_str());
        Ok(Box::new(Writer { waiting: Vec::new(), file: None, unfinished, path: self.path(id) }))
    }

    async fn read(&self, id: &ObjectId, offset: u64, length: u64) -> Result<Chunks, Error> {
        let path = self.path(id);
        // Opened and begun in one trip: most objects are one chunk.
        let first = blocking(move || {
            let mut file = match File::open(path) {
                Err(error) if is_missing(&error) => return Err(Error::Missing),
                other => other.map_err(failed("open a blob"))?,
            };
            file.seek(SeekFrom::Start(offset)).map_err(failed("seek in a blob"))?;
            let chunk = next_chunk(&file, length)?;
            Ok((file, chunk))
        });
        let (file, first) = first.await?;
        let left = length - first.len() as u64;
        let rest = futures::stream::try_unfold((file, left), |(file, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let next = blocking(move || Ok((next_chunk(&file, left)?, file)));
            let (chunk, file) = next.await?;
            let left = left - chunk.len() as u64;
            Ok((!chunk.is_empty()).then_some((chunk, (file, left))))
        });
        let first = (!first.is_empty()).then_some(Ok(first));
        Ok(futures::stream::iter(first).chain(rest).boxed())
    }

    async fn delete(&self, id: &ObjectId) -> Result<(), Error> {
        match tokio::fs::remove_file(self.path(id)).await {
            Err(error) if !is_missing(&error) => Err(failed("remove a blob")(error)),
            _ => Ok(()),
        }
    }

    async fn list(&self, after: Option<&ObjectId>, limit: usize) -> Result<Vec<Found>, Error> {
        let (folder, after) = (self.0.clone(), after.cloned());
        blocking(move || {
            let first = after.as_ref().and_then(|id| u8::from_str_radix(shard(id), 16).ok()).unwrap_or(0);
            let mut page = Vec::new();
            for shard in first..=u8::MAX {
                let mut found = files(&folder.join(format!("{shard:02x}")))?;
                found.retain(|found| after.as_ref().is_none_or(|after| found.id > *after));
                found.sort_by(|one, other| one.id.cmp(&other.id));
                found.truncate(limit - page.len());
                page.append(&mut found);
                if page.len() >= limit {
                    break;
                }
            }
            Ok(page)
        })
        .await
    }

    async fn clear_unfinished(&self, before_ms: u64) -> Result<usize, Error> {
        let folder = self.0.join(UNFINISHED);
        blocking(move || {
            let mut cleared = 0;
            for found in files(&folder)?.into_iter().filter(|found| found.finished_ms <= before_ms) {
                match std::fs::remove_file(folder.join(found.id.as_str())) {
                    Ok(()) => cleared += 1,
                    Err(error) if is_missing(&error) => {}
                    Err(error) => return Err(failed("clear an upload")(error)),
                }
            }
            Ok(cleared)
        })
        .await
    }

    async fn check(&self) -> Result<(), Error> {
        tokio::fs::metadata(self.0.join(UNFINISHED))
            .await
            .map(drop)
            .map_err(failed("look at the folder of blobs"))
    }
}

/// The objects of one folder, in no order. Files of other names are not ours.
fn files(folder: &Path) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed("list blobs"))? {
        let entry = entry.map_err(failed("list blobs"))?;
        let Some(id) = entry.file_name().to_str().and_then(ObjectId::parse) else { continue };
        let modified = match entry.metadata().and_then(|data| data.modified()) {
            Err(error) if is_missing(&error) => continue,
            other => other.map_err(failed("list blobs"))?,
        };
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        found.push(Found { id, finished_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) });
    }
    Ok(found)
}
