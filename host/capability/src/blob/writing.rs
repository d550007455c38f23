//! A blob that is being put.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::places::Place;
use super::{BlobKey, CHUNK_BYTES_MAX, Catalog, Error, New, ObjectId, Objects, Quotas, Row, Sink};
use crate::context::unix_ms;

/// Takes the bytes in order. Nobody sees any of them before [`Writing::finish`]; dropped before, nothing is kept.
pub struct Writing {
    pub(super) key: BlobKey,
    pub(super) new: New,
    pub(super) object: ObjectId,
    pub(super) sink: Box<dyn Sink>,
    pub(super) objects: Arc<dyn Objects>,
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) quotas: Arc<Quotas>,
    pub(super) hash: Sha256,
    pub(super) size: u64,
    pub(super) size_max: u64,
    /// Bytes that the namespace's plan had room for when the upload began, and the plan's limit.
    pub(super) room: Option<(u64, u64)>,
    /// A place among the uploads that may run at once.
    pub(super) _place: Place,
}

impl std::fmt::Debug for Writing {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Writing").field("key", &self.key).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Writing {
    /// Appends. After an error the upload is to be dropped.
    ///
    /// # Errors
    /// [`Error::Chunk`], [`Error::Size`], [`Error::Quota`], or the backend's.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        if chunk.len() > CHUNK_BYTES_MAX {
            return Err(Error::Chunk);
        }
        let size = self.size + chunk.len() as u64;
        if size > self.size_max {
            return Err(Error::Size(self.size_max));
        }
        if let Some((_, max)) = self.room.filter(|(room, _)| size > *room) {
            return Err(Error::Quota(max));
        }
        self.hash.update(&chunk);
        self.size = size;
        self.sink.write(chunk).await
    }

    /// Puts the blob in place of what is there.
    ///
    /// # Errors
    /// [`Error::Digest`] when a digest was given that the bytes do not have, [`Error::Quota`], or the backend's. The
    /// old blob then stays; the new bytes are gone, now or with the next sweep.
    pub async fn finish(self) -> Result<Row, Error> {
        let digest: [u8; 32] = self.hash.finalize().into();
        if self.new.digest.is_some_and(|given| given != digest) {
            return Err(Error::Digest);
        }
        self.sink.finish().await?;
        let row = Row {
            object: self.object,
            size: self.size,
            content_type: self.new.content_type,
            digest,
            public: self.new.public,
            changed_ms: unix_ms(),
        };
        let max = self.quotas.max(self.key.shelf().namespace());
        let (answer, unnamed) = match self.catalog.put(&self.key, &row, max).await {
            Ok(replaced) => (Ok(row), replaced),
            // After any other error nobody knows whether the row is there, so the sweep looks.
            Err(error @ Error::Quota(_)) => (Err(error), Some(row.object)),
            Err(error) => return Err(error),
        };
        // At once: whoever writes over a blob again and again would fill the disk before the sweep comes.
        if let Some(object) = unnamed
            && let Err(error) = self.objects.delete(&object).await
        {
            tracing::warn!(%object, %error, "the bytes of no blob are left to the sweep");
        }
        answer
    }
}
