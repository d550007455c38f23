//! What is known of each blob but its bytes. The platform keeps it in the control database.

use async_trait::async_trait;
use micro_api::name::Namespace;

use super::{BlobKey, Error, ObjectId, Shelf};

/// Most rows of one page.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// One blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where its bytes are.
    pub object: ObjectId,
    /// Bytes.
    pub size: u64,
    /// As it was given.
    pub content_type: String,
    /// SHA-256 of the bytes.
    pub digest: [u8; 32],
    /// Anyone may read it by its URL.
    pub public: bool,
    /// When these bytes were put, Unix milliseconds.
    pub changed_ms: u64,
}

/// One blob of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name in its shelf.
    pub key: String,
    /// The rest.
    pub row: Row,
}

/// Rows by key. A row that was acknowledged is seen by every call after.
#[async_trait]
pub trait Catalog: Send + Sync + 'static {
    /// Writes over whatever is there, in one step, and gives the object that no row names any more.
    ///
    /// # Errors
    /// [`Error::Quota`], and nothing changes, when the namespace would then hold more than `bytes_max`. What is over
    /// it already may still be replaced by something no larger.
    async fn put(&self, key: &BlobKey, row: &Row, bytes_max: Option<u64>) -> Result<Option<ObjectId>, Error>;

    /// The row, if there is one.
    async fn get(&self, key: &BlobKey) -> Result<Option<Row>, Error>;

    /// Removes, and says what was there.
    async fn delete(&self, key: &BlobKey) -> Result<Option<Row>, Error>;

    /// Rows in bytewise order of their keys, that start with `prefix` and come after `after`; at most `limit` and
    /// [`PAGE_ROWS_MAX`].
    async fn list(
        &self,
        shelf: &Shelf,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error>;

    /// Bytes of all the namespace's blobs.
    async fn used(&self, namespace: &Namespace) -> Result<u64, Error>;

    /// Those of `objects`, at most [`PAGE_ROWS_MAX`], that no row names.
    async fn unnamed(&self, objects: &[ObjectId]) -> Result<Vec<ObjectId>, Error>;
}
