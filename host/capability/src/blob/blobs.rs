//! Rows and bytes together.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::places::Places;
use super::{
    BlobKey, Catalog, Error, Listed, MemoryCatalog, MemoryObjects, ObjectId, Objects, PAGE_ROWS_MAX, Quotas,
    Reading, Row, Shelf, Writing,
};

const CONTENT_TYPE_BYTES_MAX: usize = 255;
const CONTENT_TYPE: &str = "application/octet-stream";

/// What the platform takes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most bytes of one blob.
    pub blob_bytes: u64,
    /// Most uploads at once, of all namespaces; at least one.
    pub uploads: usize,
    /// Most uploads at once of one namespace; at least one.
    pub uploads_own: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { blob_bytes: 1 << 30, uploads: 64, uploads_own: 16 }
    }
}

/// What a blob is to be.
#[derive(Debug, Clone, Default)]
pub struct New {
    /// At most 255 visible ASCII characters; empty: `application/octet-stream`.
    pub content_type: String,
    /// Anyone may read it by its URL.
    pub public: bool,
    /// The SHA-256 that the bytes must have.
    pub digest: Option<[u8; 32]>,
}

/// All blobs of the platform.
pub struct Blobs {
    pub(super) objects: Arc<dyn Objects>,
    pub(super) catalog: Arc<dyn Catalog>,
    quotas: Arc<Quotas>,
    limits: Limits,
    uploads: Arc<Places>,
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Blobs").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Blobs {
    /// Blobs over a catalog and what holds their bytes.
    pub fn new(
        objects: Arc<dyn Objects>,
        catalog: Arc<dyn Catalog>,
        quotas: Arc<Quotas>,
        limits: Limits,
    ) -> Self {
        Self { objects, catalog, quotas, limits, uploads: Arc::default() }
    }

    /// Without limits of plans, and gone with the process.
    pub fn memory() -> Self {
        let (objects, catalog) = (MemoryObjects::default(), MemoryCatalog::default());
        Self::new(Arc::new(objects), Arc::new(catalog), Arc::default(), Limits::default())
    }

    /// Begins to put a blob.
    ///
    /// # Errors
    /// [`Error::ContentType`], [`Error::Busy`] when as many uploads run as may, or the backend's.
    pub async fn create(&self, key: BlobKey, mut new: New) -> Result<Writing, Error> {
        if new.content_type.is_empty() {
            CONTENT_TYPE.clone_into(&mut new.content_type);
        }
        let is_visible = new.content_type.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !is_visible || new.content_type.len() > CONTENT_TYPE_BYTES_MAX {
            return Err(Error::ContentType);
        }
        let (all, own) = (self.limits.uploads.max(1), self.limits.uploads_own.max(1));
        let place = self.uploads.take(key.shelf().namespace(), all, own).ok_or(Error::Busy)?;
        let room = self.room(&key).await?;
        let object = ObjectId::random();
        let sink = self.objects.create(&object).await?;
        Ok(Writing {
            key,
            new,
            object,
            sink,
            objects: Arc::clone(&self.objects),
            catalog: Arc::clone(&self.catalog),
            quotas: Arc::clone(&self.quotas),
            hash: Sha256::new(),
            size: 0,
            size_max: self.limits.blob_bytes,
            room,
            _place: place,
        })
    }

    /// What is known of a blob.
    ///
    /// # Errors
    /// [`Error::Missing`], or the backend's.
    pub async fn stat(&self, key: &BlobKey) -> Result<Row, Error> {
        self.catalog.get(key).await?.ok_or(Error::Missing)
    }

    /// Reads at most `length` bytes from `offset` on; none: to the end.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Range`] when the offset is behind the end, or the backend's.
    pub async fn open(&self, key: &BlobKey, offset: u64, length: Option<u64>) -> Result<Reading, Error> {
        let mut row = self.stat(key).await?;
        loop {
            let rest = row.size.checked_sub(offset).ok_or(Error::Range(row.size))?;
            let length = length.unwrap_or(u64::MAX).min(rest);
            match self.objects.read(&row.object, offset, length).await {
                Ok(chunks) => return Ok(Reading::new(row, chunks, length)),
                Err(Error::Missing) => {}
                Err(error) => return Err(error),
            }
            // It was replaced or deleted since the row was read, or its bytes are lost.
            let now = self.stat(key).await?;
            if now.object == row.object {
                tracing::error!(object = %row.object, "the bytes of a blob are missing");
                return Err(Error::Damaged);
            }
            row = now;
        }
    }

    /// Removes a blob; a missing one is no error.
    ///
    /// # Errors
    /// The catalog's. Bytes that cannot be removed now are left to the sweep.
    pub async fn delete(&self, key: &BlobKey) -> Result<(), Error> {
        let Some(row) = self.catalog.delete(key).await? else { return Ok(()) };
        if let Err(error) = self.objects.delete(&row.object).await {
            tracing::warn!(object = %row.object, %error, "the bytes of a deleted blob are left to the sweep");
        }
        Ok(())
    }

    /// One page of a service's blobs, in the order of their keys.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn list(
        &self,
        shelf: &Shelf,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        self.catalog.list(shelf, prefix, after, limit.min(PAGE_ROWS_MAX)).await
    }

    /// Whether what holds the bytes works now.
    ///
    /// # Errors
    /// The backend's.
    pub async fn check(&self) -> Result<(), Error> {
        self.objects.check().await
    }

    /// What may be put under `key`, and the plan's limit. What is over it may still be replaced by something smaller.
    async fn room(&self, key: &BlobKey) -> Result<Option<(u64, u64)>, Error> {
        let namespace = key.shelf().namespace();
        let Some(max) = self.quotas.max(namespace) else { return Ok(None) };
        let replaced = self.catalog.get(key).await?.map_or(0, |row| row.size);
        let others = self.catalog.used(namespace).await?.saturating_sub(replaced);
        Ok(Some((max.saturating_sub(others).max(replaced), max)))
    }
}
