//! Rows and bytes in memory: for tests, and for platforms that keep nothing.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use micro_api::name::Namespace;
use parking_lot::RwLock;

use super::{
    BlobKey, Catalog, Chunks, Error, Found, Listed, ObjectId, Objects, PAGE_ROWS_MAX, Row, Shelf, Sink,
};
use crate::context::unix_ms;

type Kept = BTreeMap<ObjectId, Object>;

/// Objects that are gone with the process.
#[derive(Debug, Default)]
pub struct MemoryObjects(Arc<RwLock<Kept>>);

#[derive(Debug)]
struct Object {
    finished_ms: u64,
    chunks: Arc<Vec<Bytes>>,
}

struct Writer {
    id: ObjectId,
    chunks: Vec<Bytes>,
    kept: Arc<RwLock<Kept>>,
}

#[async_trait]
impl Sink for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.chunks.push(chunk);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), Error> {
        let object = Object { finished_ms: unix_ms(), chunks: Arc::new(self.chunks) };
        self.kept.write().insert(self.id, object);
        Ok(())
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn create(&self, id: &ObjectId) -> Result<Box<dyn Sink>, Error> {
        Ok(Box::new(Writer { id: id.clone(), chunks: Vec::new(), kept: Arc::clone(&self.0) }))
    }

    async fn read(&self, id: &ObjectId, offset: u64, length: u64) -> Result<Chunks, Error> {
        let chunks = self.0.read().get(id).map(|object| Arc::clone(&object.chunks)).ok_or(Error::Missing)?;
        let (mut skip, mut left) = (offset, length);
        let mut cut = Vec::new();
        for chunk in chunks.iter() {
            let bytes = chunk.len() as u64;
            let start = skip.min(bytes);
            let end = start + left.min(bytes - start);
            skip -= start;
            left -= end - start;
            if start < end {
                // Both are at most the chunk's length.
                cut.push(Ok(chunk.slice(start as usize..end as usize)));
            }
        }
        Ok(futures::stream::iter(cut).boxed())
    }

    async fn delete(&self, id: &ObjectId) -> Result<(), Error> {
        self.0.write().remove(id);
        Ok(())
    }

    async fn list(&self, after: Option<&ObjectId>, limit: usize) -> Result<Vec<Found>, Error> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let kept = self.0.read();
        let objects = kept.range::<ObjectId, _>((start, Bound::Unbounded)).take(limit);
        Ok(objects.map(|(id, object)| Found { id: id.clone(), finished_ms: object.finished_ms }).collect())
    }

    async fn clear_unfinished(&self, _before_ms: u64) -> Result<usize, Error> {
        Ok(0)
    }

    async fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Rows that are gone with the process.
#[derive(Debug, Default)]
pub struct MemoryCatalog(RwLock<BTreeMap<BlobKey, Row>>);

fn used(rows: &BTreeMap<BlobKey, Row>, namespace: &Namespace) -> u64 {
    let own = rows.iter().filter(|(key, _)| key.shelf().namespace() == namespace);
    own.map(|(_, row)| row.size).fold(0, u64::saturating_add)
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn put(&self, key: &BlobKey, row: &Row, bytes_max: Option<u64>) -> Result<Option<ObjectId>, Error> {
        let mut rows = self.0.write();
        let replaced = rows.get(key).map_or(0, |row| row.size);
        if let Some(max) = bytes_max.filter(|_| row.size > replaced)
            && used(&rows, key.shelf().namespace()) - replaced + row.size > max
        {
            return Err(Error::Quota(max));
        }
        Ok(rows.insert(key.clone(), row.clone()).map(|old| old.object))
    }

    async fn get(&self, key: &BlobKey) -> Result<Option<Row>, Error> {
        Ok(self.0.read().get(key).cloned())
    }

    async fn delete(&self, key: &BlobKey) -> Result<Option<Row>, Error> {
        Ok(self.0.write().remove(key))
    }

    async fn list(
        &self,
        shelf: &Shelf,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let rows = self.0.read();
        let own = rows.iter().filter(|(key, _)| key.shelf() == shelf && key.key().starts_with(prefix));
        let behind = own.filter(|(key, _)| after.is_none_or(|after| key.key() > after));
        let page = behind.take(limit.min(PAGE_ROWS_MAX));
        Ok(page.map(|(key, row)| Listed { key: key.key().to_owned(), row: row.clone() }).collect())
    }

    async fn used(&self, namespace: &Namespace) -> Result<u64, Error> {
        Ok(used(&self.0.read(), namespace))
    }

    async fn unnamed(&self, objects: &[ObjectId]) -> Result<Vec<ObjectId>, Error> {
        let rows = self.0.read();
        let named: HashSet<_> = rows.values().map(|row| &row.object).collect();
        Ok(objects.iter().filter(|id| !named.contains(id)).cloned().collect())
    }
}
