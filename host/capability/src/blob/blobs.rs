//! Rows and bytes together.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::places::Places;
use super::{
    BlobKey, Catalog, Error, Link, Listed, MemoryCatalog, MemoryObjects, ObjectId, Objects, PAGE_ROWS_MAX,
    Quotas, Reading, Row, Shelf, Urls, Writing,
};
use crate::context::unix_ms;

const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// Stands for a key that is not known yet; nothing is put there.
const UNNAMED: &str = "-";
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
    urls: Urls,
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
        urls: Urls,
    ) -> Self {
        Self { objects, catalog, quotas, limits, urls, uploads: Arc::default() }
    }

    /// Without limits of plans, and gone with the process, as is the key that signs their URLs.
    pub fn memory() -> Self {
        let (objects, catalog) = (MemoryObjects::default(), MemoryCatalog::default());
        let key =
            Sha256::new().chain_update(uuid::Uuid::new_v4()).chain_update(uuid::Uuid::new_v4()).finalize();
        let urls = Urls::new("http://localhost:8080", "localhost", [key.into()]);
        Self::new(Arc::new(objects), Arc::new(catalog), Arc::default(), Limits::default(), urls)
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

    /// Begins to put a blob whose key is known only later, and is set before the end. Until then no more than the plan's
    /// limit bounds it; the end holds it against all that the namespace has.
    ///
    /// # Errors
    /// Those of [`Blobs::create`].
    pub(super) async fn create_unnamed(&self, shelf: &Shelf) -> Result<Writing, Error> {
        let mut writing = self.create(shelf.key(UNNAMED)?, New::default()).await?;
        // What it replaces is not known, so it may yet fit where there seems to be no room.
        writing.room = self.quotas.max(shelf.namespace()).map(|max| (max, max));
        Ok(writing)
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
            match self.read(&row, offset, length).await {
                Err(Error::Missing) => row = self.newer(key, &row).await?,
                done => return done,
            }
        }
    }

    /// The same of the very bytes that `row` tells of.
    ///
    /// # Errors
    /// As [`Blobs::open`]; [`Error::Missing`] when they are gone: [`Blobs::newer`] says what is there now.
    pub async fn read(&self, row: &Row, offset: u64, length: Option<u64>) -> Result<Reading, Error> {
        let rest = row.size.checked_sub(offset).ok_or(Error::Range(row.size))?;
        let length = length.unwrap_or(u64::MAX).min(rest);
        let chunks = self.objects.read(&row.object, offset, length).await?;
        Ok(Reading::new(row.clone(), chunks, length))
    }

    /// What replaced a blob whose bytes are gone since `row` was read.
    ///
    /// # Errors
    /// [`Error::Missing`] when it was deleted, [`Error::Damaged`] when its bytes are lost, or the backend's.
    pub async fn newer(&self, key: &BlobKey, row: &Row) -> Result<Row, Error> {
        let now = self.stat(key).await?;
        if now.object == row.object {
            tracing::error!(object = %row.object, "the bytes of a blob are missing");
            return Err(Error::Damaged);
        }
        Ok(now)
    }

    /// Where the gateway answers a blob: of a public one for as long as it is public, or of any, signed for so many
    /// seconds. The URL is the key's: whatever is put there meanwhile is answered.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Private`] without a time, [`Error::UrlTime`], [`Error::NoUrl`], or the backend's.
    pub async fn url(&self, key: &BlobKey, expires_in_s: Option<u64>) -> Result<Link, Error> {
        let row = self.stat(key).await?;
        match expires_in_s {
            None if !row.public => Err(Error::Private),
            None => self.urls.plain(key),
            Some(seconds) => self.urls.signed(key, seconds, unix_ms() / 1_000),
        }
    }

    /// What checks signatures.
    pub fn urls(&self) -> &Urls {
        &self.urls
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
