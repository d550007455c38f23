//! Blobs of this process: their rows in the control database, their bytes in a folder of the data folder or in a bucket.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use micro_api::Namespace;
use micro_auth::Sealer;
use micro_capability::blob::{
    BlobKey, Blobs, Catalog, Error, Folder, Limits, Listed, ORPHAN_AGE, ObjectId, Objects, Quotas, Row, S3,
    S3Config, Shelf, Swept, Urls,
};
use micro_db::{Blob, Db};
use tokio_util::sync::CancellationToken;

use crate::config::BlobOptions;

/// How often left-overs are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

/// What the master key gives the key for that signs URLs.
const URL_KEY: &str = "blob urls";

/// Opens the blobs where the options say.
pub(crate) async fn open(
    options: &BlobOptions,
    data: &Path,
    db: Db,
    quotas: Arc<Quotas>,
    urls: Urls,
) -> Result<Arc<Blobs>> {
    let objects: Arc<dyn Objects> = match options.blob.as_str() {
        "s3" => {
            let owner = db.operator_id().await.context("read whose blobs these are")?;
            Arc::new(S3::open(&S3Config { owner, ..options.s3()? }).await.context("open the blobs")?)
        }
        _ => Arc::new(folder(data)?),
    };
    Ok(with(objects, db, quotas, urls))
}

fn folder(data: &Path) -> Result<Folder> {
    Folder::open(data.join("blobs")).context("open the folder of blobs")
}

fn with(objects: Arc<dyn Objects>, db: Db, quotas: Arc<Quotas>, urls: Urls) -> Arc<Blobs> {
    Arc::new(Blobs::new(objects, Arc::new(Rows(db)), quotas, Limits::default(), urls))
}

/// URLs of a gateway that is reached at `gateway_url` and below `domain`. Nodes of one database have one master key, and
/// so check what any of them signed; what the key before it signed is good while that one is given.
pub(crate) fn urls(gateway_url: &str, domain: &str, sealer: &Sealer) -> Urls {
    Urls::new(gateway_url, domain, sealer.derive(URL_KEY).iter().map(|key| **key))
}

/// Removes left-overs now and then, until `stop`.
pub(crate) async fn sweep(blobs: Arc<Blobs>, stop: CancellationToken) {
    loop {
        let swept = tokio::select! {
            swept = blobs.sweep(ORPHAN_AGE) => swept,
            () = stop.cancelled() => return,
        };
        match swept {
            Ok(Swept { objects: 0, uploads: 0 }) => {}
            Ok(Swept { objects, uploads }) => {
                tracing::info!(objects, uploads, "Left-overs of blobs were removed");
            }
            Err(error) => tracing::warn!(%error, "Left-overs of blobs are still there"),
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Rows in the control database.
#[derive(Debug)]
struct Rows(Db);

fn failed(error: micro_db::Error) -> Error {
    match error {
        micro_db::Error::Limit { max, .. } => Error::Quota(u64::try_from(max).unwrap_or(0)),
        // The namespace ended meanwhile.
        micro_db::Error::Refused(_) => Error::Missing,
        error => Error::Backend(format!("{:#}", anyhow::Error::new(error))),
    }
}

/// More than the database counts is more than any disk holds.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn unsigned(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

fn row(blob: Blob) -> Result<Row, Error> {
    let spoilt = || Error::Backend(format!("the row of the object {} is spoilt", blob.object));
    let mut digest = [0; 32];
    hex::decode_to_slice(&blob.digest, &mut digest).map_err(|_| spoilt())?;
    Ok(Row {
        object: ObjectId::parse(&blob.object).ok_or_else(spoilt)?,
        size: unsigned(blob.size),
        content_type: blob.content_type,
        digest,
        public: blob.public != 0,
        changed_ms: unsigned(blob.changed_ms),
    })
}

#[async_trait]
impl Catalog for Rows {
    async fn put(&self, key: &BlobKey, row: &Row, bytes_max: Option<u64>) -> Result<Option<ObjectId>, Error> {
        let blob = Blob {
            blob_key: key.key().to_owned(),
            object: row.object.to_string(),
            size: signed(row.size),
            content_type: row.content_type.clone(),
            digest: hex::encode(row.digest),
            public: i64::from(row.public),
            changed_ms: signed(row.changed_ms),
        };
        let shelf = key.shelf();
        let put = self.0.blob_put(shelf.namespace(), shelf.service(), &blob, bytes_max.map(signed));
        Ok(put.await.map_err(failed)?.and_then(|object| ObjectId::parse(&object)))
    }

    async fn get(&self, key: &BlobKey) -> Result<Option<Row>, Error> {
        let shelf = key.shelf();
        let found = self.0.blob_get(shelf.namespace(), shelf.service(), key.key()).await.map_err(failed)?;
        found.map(row).transpose()
    }

    async fn delete(&self, key: &BlobKey) -> Result<Option<Row>, Error> {
        let shelf = key.shelf();
        let deleted = self.0.blob_delete(shelf.namespace(), shelf.service(), key.key());
        deleted.await.map_err(failed)?.map(row).transpose()
    }

    async fn list(
        &self,
        shelf: &Shelf,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (namespace, service) = (shelf.namespace(), shelf.service());
        // No key is empty, so all come after the empty one.
        let page = self.0.blob_list(namespace, service, prefix, after.unwrap_or_default(), limit);
        let listed = |blob: Blob| Ok(Listed { key: blob.blob_key.clone(), row: row(blob)? });
        page.await.map_err(failed)?.into_iter().map(listed).collect()
    }

    async fn used(&self, namespace: &Namespace) -> Result<u64, Error> {
        Ok(unsigned(self.0.blob_bytes(namespace).await.map_err(failed)?))
    }

    async fn unnamed(&self, objects: &[ObjectId]) -> Result<Vec<ObjectId>, Error> {
        let (Some(first), Some(last)) = (objects.iter().min(), objects.iter().max()) else {
            return Ok(Vec::new());
        };
        let named = self.0.blob_objects(first.as_str(), last.as_str()).await.map_err(failed)?;
        let named: HashSet<_> = named.iter().map(String::as_str).collect();
        Ok(objects.iter().filter(|id| !named.contains(id.as_str())).cloned().collect())
    }
}

#[cfg(test)]
mod tests;
