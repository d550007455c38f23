//! Blobs as people reach them, through the control API.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, try_unfold};
use micro_api::blob::{BlobUrl, Info, NewUrl, Put, Query};
use micro_api::{Error, Namespace};

use super::host::digest;
use super::{Blobs, CHUNK_BYTES_MAX, Listed, New, PAGE_ROWS_MAX, Shelf};

/// Bytes of a body, in order.
pub type Body = BoxStream<'static, Result<Bytes, Error>>;

/// Blobs of any service of a namespace.
#[derive(Debug, Clone)]
pub struct Admin(Arc<Blobs>);

fn info(listed: Listed) -> Info {
    let row = listed.row;
    Info {
        key: listed.key,
        size: row.size,
        content_type: row.content_type,
        digest: hex::encode(row.digest),
        public: row.public,
        changed_ms: i64::try_from(row.changed_ms).unwrap_or(i64::MAX),
    }
}

impl Admin {
    /// Over the blobs that guests use.
    pub fn new(blobs: Arc<Blobs>) -> Self {
        Self(blobs)
    }

    /// Puts a blob from `body`, whatever the length of its chunks.
    ///
    /// # Errors
    /// Those of [`Blobs::create`] and [`super::Writing`], as clients read them.
    pub async fn put(&self, namespace: &Namespace, put: Put, mut body: Body) -> Result<Info, Error> {
        let key = Shelf::named(namespace, &put.service)?.key(&put.key)?;
        let given = put.digest.as_deref().map(digest).transpose()?;
        let new = New { content_type: put.content_type, public: put.public, digest: given };
        let mut writing = self.0.create(key, new).await?;
        while let Some(chunk) = body.next().await {
            let mut chunk = chunk?;
            while !chunk.is_empty() {
                let part = chunk.split_to(chunk.len().min(CHUNK_BYTES_MAX));
                writing.write(part).await?;
            }
        }
        Ok(info(Listed { key: put.key, row: writing.finish().await? }))
    }

    /// A blob and its bytes.
    ///
    /// # Errors
    /// 404 when there is none. The stream ends with an error when the bytes are not those that were put.
    pub async fn get(&self, namespace: &Namespace, service: &str, key: &str) -> Result<(Info, Body), Error> {
        let reading = self.0.open(&Shelf::named(namespace, service)?.key(key)?, 0, None).await?;
        let told = info(Listed { key: key.to_owned(), row: reading.row().clone() });
        let body = try_unfold(reading, |mut reading| async move {
            let next = reading.next().await.map_err(Error::from)?;
            Ok::<_, Error>(next.map(|chunk| (chunk, reading)))
        });
        Ok((told, body.boxed()))
    }

    /// Where the gateway answers a blob.
    ///
    /// # Errors
    /// Those of [`Blobs::url`], as clients read them.
    pub async fn url(&self, namespace: &Namespace, new: &NewUrl) -> Result<BlobUrl, Error> {
        let key = Shelf::named(namespace, &new.service)?.key(&new.key)?;
        let link = self.0.url(&key, new.expires_in_s).await?;
        let expires_ms = link.expires_s.map(|at| i64::try_from(at).unwrap_or(i64::MAX).saturating_mul(1_000));
        Ok(BlobUrl { url: link.url, expires_ms })
    }

    /// Removes a blob; a missing one is no error.
    ///
    /// # Errors
    /// 400 for what is no key.
    pub async fn delete(&self, namespace: &Namespace, service: &str, key: &str) -> Result<(), Error> {
        Ok(self.0.delete(&Shelf::named(namespace, service)?.key(key)?).await?)
    }

    /// One page, in key order.
    ///
    /// # Errors
    /// 400 for what is no name of a service.
    pub async fn list(&self, namespace: &Namespace, query: &Query) -> Result<Vec<Info>, Error> {
        let shelf = Shelf::named(namespace, &query.service)?;
        let limit =
            query.limit.map_or(PAGE_ROWS_MAX, |limit| usize::try_from(limit).unwrap_or(PAGE_ROWS_MAX));
        let page = self.0.list(&shelf, &query.prefix, query.after.as_deref(), limit).await?;
        Ok(page.into_iter().map(info).collect())
    }
}
