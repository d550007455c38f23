//! Blobs: all that is known of them but their bytes.

use micro_api::Namespace;

use crate::query::query;
use crate::row::record;
use crate::{Db, Error, Refusal};

/// Most rows of one page.
pub const PAGE_ROWS_MAX: i64 = 1_000;

/// One blob of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its name among the service's blobs.
    pub blob_key: String,
    /// The name under which its bytes lie.
    pub object: String,
    /// Bytes.
    pub size: i64,
    /// As it was given.
    pub content_type: String,
    /// SHA-256, hexadecimal.
    pub digest: String,
    /// 1: anyone may read it.
    pub public: i64,
    /// When its bytes were put, Unix milliseconds.
    pub changed_ms: i64,
}

record!(Blob { blob_key, object, size, content_type, digest, public, changed_ms });

impl Db {
    /// Writes a blob's row, in place of an older one, whose object it gives: no row names it any more.
    ///
    /// # Errors
    /// [`Error::Limit`], and nothing changes, when the namespace would then hold more than `bytes_max`. What is over
    /// it already may still be replaced by something no larger. [`Refusal::NoNamespace`] when it has ended meanwhile.
    pub async fn blob_put(
        &self,
        namespace: &Namespace,
        service: &str,
        blob: &Blob,
        bytes_max: Option<i64>,
    ) -> Result<Option<String>, Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let ended = query(
            "blobs.ended",
            "SELECT namespace FROM namespaces WHERE namespace = $1 AND deleted_ms IS NOT NULL",
        );
        // Its blobs went with it; one that comes after would stay for ever.
        if ended.bind(namespace).first::<(String,)>(&mut tx).await?.is_some() {
            return Err(Refusal::NoNamespace.into());
        }
        if let Some(max) = bytes_max {
            let sizes = query(
                "blobs.sizes",
                "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT),
                   CAST(COALESCE(SUM(CASE WHEN service = $2 AND blob_key = $3 THEN size ELSE 0 END), 0) AS BIGINT)
                 FROM blobs WHERE namespace = $1",
            );
            let sizes = sizes.bind(namespace).bind(service).bind(&blob.blob_key);
            let (used, replaced) = sizes.first::<(i64, i64)>(&mut tx).await?.unwrap_or_default();
            let would_use = (used - replaced).saturating_add(blob.size);
            if blob.size > replaced && would_use > max {
                return Err(Error::Limit { limit: "blob_bytes", max, resets_ms: None });
            }
        }
        let replaced = query(
            "blobs.replaced",
            "SELECT object FROM blobs WHERE namespace = $1 AND service = $2 AND blob_key = $3",
        );
        let replaced = replaced.bind(namespace).bind(service).bind(&blob.blob_key);
        let replaced = replaced.first::<(String,)>(&mut tx).await?.map(|(object,)| object);
        query(
            "blobs.put",
            "INSERT INTO blobs (namespace, service, blob_key, object, size, content_type, digest, public, changed_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (namespace, service, blob_key) DO UPDATE SET
               object = excluded.object, size = excluded.size, content_type = excluded.content_type,
               digest = excluded.digest, public = excluded.public, changed_ms = excluded.changed_ms",
        )
        .bind(namespace)
        .bind(service)
        .bind(&blob.blob_key)
        .bind(&blob.object)
        .bind(blob.size)
        .bind(&blob.content_type)
        .bind(&blob.digest)
        .bind(blob.public)
        .bind(blob.changed_ms)
        .execute(&mut tx)
        .await?;
        tx.commit_quietly().await?;
        Ok(replaced.filter(|object| *object != blob.object))
    }

    /// A blob's row, if there is one.
    pub async fn blob_get(
        &self,
        namespace: &Namespace,
        service: &str,
        key: &str,
    ) -> Result<Option<Blob>, Error> {
        query(
            "blobs.get",
            "SELECT blob_key, object, size, content_type, digest, public, changed_ms FROM blobs
             WHERE namespace = $1 AND service = $2 AND blob_key = $3",
        )
        .bind(namespace)
        .bind(service)
        .bind(key)
        .read_first(self)
        .await
    }

    /// Removes a blob's row, and says what it was.
    pub async fn blob_delete(
        &self,
        namespace: &Namespace,
        service: &str,
        key: &str,
    ) -> Result<Option<Blob>, Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let deleted = query(
            "blobs.delete",
            "DELETE FROM blobs WHERE namespace = $1 AND service = $2 AND blob_key = $3
             RETURNING blob_key, object, size, content_type, digest, public, changed_ms",
        )
        .bind(namespace)
        .bind(service)
        .bind(key)
        .first(&mut tx)
        .await?;
        tx.commit_quietly().await?;
        Ok(deleted)
    }

    /// A service's blobs in bytewise order of their keys, that start with `prefix` and come after `after`; at most
    /// `limit` and [`PAGE_ROWS_MAX`].
    pub async fn blob_list(
        &self,
        namespace: &Namespace,
        service: &str,
        prefix: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Blob>, Error> {
        // Both databases count characters here, as `chars` does.
        let chars = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
        query(
            "blobs.list",
            "SELECT blob_key, object, size, content_type, digest, public, changed_ms FROM blobs
             WHERE namespace = $1 AND service = $2 AND blob_key >= $3 AND blob_key > $5
               AND SUBSTR(blob_key, 1, CAST($4 AS INTEGER)) = $3
             ORDER BY blob_key LIMIT $6",
        )
        .bind(namespace)
        .bind(service)
        .bind(prefix)
        .bind(chars.min(i64::from(i32::MAX)))
        .bind(after)
        .bind(limit.clamp(0, PAGE_ROWS_MAX))
        .read_all(self)
        .await
    }

    /// Bytes of all blobs of a namespace.
    pub async fn blob_bytes(&self, namespace: &Namespace) -> Result<i64, Error> {
        let sum = query(
            "blobs.bytes",
            "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM blobs WHERE namespace = $1",
        );
        Ok(sum.bind(namespace).read_first::<(i64,)>(self).await?.map_or(0, |(bytes,)| bytes))
    }

    /// The objects from `first` to `last`, both included, that a row names, in their order. Not cut: what is missing
    /// here is taken for a left-over.
    pub async fn blob_objects(&self, first: &str, last: &str) -> Result<Vec<String>, Error> {
        let named = query(
            "blobs.objects",
            "SELECT object FROM blobs WHERE object >= $1 AND object <= $2 ORDER BY object",
        );
        let rows = named.bind(first).bind(last).read_all::<(String,)>(self).await?;
        Ok(rows.into_iter().map(|(object,)| object).collect())
    }
}
