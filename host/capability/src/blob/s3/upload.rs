//! An object on its way up.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use object_store::MultipartId;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;

use super::failure::{Failure, failed};
use super::{Bucket, PART_BYTES};
use crate::blob::{Error, Sink};

/// Holds at most [`PART_BYTES`], and as much again while a part is sent: whoever writes waits for it.
pub(super) struct Upload {
    bucket: Arc<Bucket>,
    path: Path,
    buffer: BytesMut,
    /// Of an object that has more than one part.
    parts: Option<Parts>,
    size: u64,
    /// A part did not get there: what comes after it is of no use.
    is_broken: bool,
}

struct Parts {
    upload: MultipartId,
    sent: Vec<PartId>,
}

impl Upload {
    pub(super) fn new(bucket: Arc<Bucket>, path: Path) -> Self {
        Self { bucket, path, buffer: BytesMut::new(), parts: None, size: 0, is_broken: false }
    }

    fn check(&self) -> Result<(), Error> {
        if self.is_broken {
            return Err(Error::Backend("a part of this upload did not reach S3: begin it anew".to_owned()));
        }
        Ok(())
    }

    /// Sends what the buffer holds as the next part.
    async fn send(&mut self) -> Result<(), Error> {
        // Stays so when the future is dropped on its way.
        self.is_broken = true;
        let Bucket { calls, store, .. } = &*self.bucket;
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => {
                let upload = calls.make(0, store.create_multipart(&self.path)).await?;
                let upload = upload.map_err(failed("begin an upload"))?;
                none.insert(Parts { upload, sent: Vec::new() })
            }
        };
        let part = self.buffer.split().freeze();
        let put = store.put_part(&self.path, &parts.upload, parts.sent.len(), part.clone().into());
        let sent = calls.make(part.len(), put).await?.map_err(failed("send a part"))?;
        parts.sent.push(sent);
        self.is_broken = false;
        Ok(())
    }

    /// Makes one object of the parts.
    async fn complete(&mut self) -> Result<(), Error> {
        let Some(parts) = &self.parts else { return Ok(()) };
        let Bucket { calls, store, .. } = &*self.bucket;
        let complete = store.complete_multipart(&self.path, &parts.upload, parts.sent.clone());
        match calls.make(0, complete).await? {
            Ok(_) => {}
            Err(error) => {
                let failure = Failure::from(&error);
                // The answer to an earlier try may have been lost: then the upload is gone, and the object there.
                let done = failure.is_missing() && self.bucket.size(&self.path).await == Ok(self.size);
                if !done {
                    return Err(failure.doing("finish an upload"));
                }
            }
        }
        self.parts = None;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else { return };
        // A process that ends leaves it to the sweep.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (bucket, path) = (Arc::clone(&self.bucket), self.path.clone());
        runtime.spawn(async move {
            if let Err(error) = bucket.abort(&path, &parts.upload).await {
                tracing::warn!(%path, %error, "the parts of an upload that ended are left to the sweep");
            }
        });
    }
}

impl Bucket {
    /// Ends an upload and removes its parts; a missing one is no error.
    pub(super) async fn abort(&self, path: &Path, upload: &MultipartId) -> Result<(), Error> {
        match self.calls.make(0, self.store.abort_multipart(path, upload)).await? {
            Ok(()) => Ok(()),
            Err(error) => match Failure::from(&error) {
                failure if failure.is_missing() => Ok(()),
                failure => Err(failure.doing("end an upload")),
            },
        }
    }
}

#[async_trait]
impl Sink for Upload {
    async fn write(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        self.check()?;
        self.size += chunk.len() as u64;
        while !chunk.is_empty() {
            if self.buffer.len() == PART_BYTES {
                self.send().await?;
            }
            let fits = chunk.len().min(PART_BYTES - self.buffer.len());
            self.buffer.extend_from_slice(&chunk.split_to(fits));
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), Error> {
        self.check()?;
        if self.parts.is_none() {
            let whole = self.buffer.split().freeze();
            return self.bucket.put(&self.path, whole).await;
        }
        self.send().await?;
        self.complete().await
    }
}
