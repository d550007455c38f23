//! Results of stages by the content they were made from, private to a namespace.

use micro_api::Namespace;
use micro_artifact::Digest;

use crate::query::query;
use crate::row::{decode, encode};
use crate::{Db, Error, now_ms};

/// Entries of one namespace; the least recently used go first.
pub const ENTRIES_MAX: i64 = 2_000;

/// What a build left for the next one with the same input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEntry {
    /// Whatever the builder needs, as text.
    pub value: String,
    /// Artifacts that must stay while this entry does.
    pub artifacts: Vec<Digest>,
}

impl Db {
    /// The entry under `key`, which then counts as just used.
    pub async fn build_cache_get(
        &self,
        namespace: &Namespace,
        key: &str,
    ) -> Result<Option<CacheEntry>, Error> {
        let row = query(
            "build_cache.get",
            "SELECT value, artifacts FROM build_cache WHERE namespace = $1 AND cache_key = $2",
        );
        let Some((value, artifacts)) =
            row.bind(namespace).bind(key).read_first::<(String, String)>(self).await?
        else {
            return Ok(None);
        };
        let mut tx = self.begin(namespace.as_str()).await?;
        query(
            "build_cache.touch",
            "UPDATE build_cache SET used_ms = $3 WHERE namespace = $1 AND cache_key = $2",
        )
        .bind(namespace)
        .bind(key)
        .bind(now_ms())
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(Some(CacheEntry { value, artifacts: decode("artifacts", &artifacts)? }))
    }

    /// Keeps an entry, in place of an older one under `key`.
    pub async fn build_cache_put(
        &self,
        namespace: &Namespace,
        key: &str,
        entry: &CacheEntry,
    ) -> Result<(), Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        query(
            "build_cache.put",
            "INSERT INTO build_cache (namespace, cache_key, value, artifacts, used_ms) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (namespace, cache_key) DO UPDATE SET
               value = excluded.value, artifacts = excluded.artifacts, used_ms = excluded.used_ms",
        )
        .bind(namespace)
        .bind(key)
        .bind(&entry.value)
        .bind(encode("artifacts", &entry.artifacts)?)
        .bind(now_ms())
        .execute(&mut tx)
        .await?;
        query(
            "build_cache.bound",
            "DELETE FROM build_cache WHERE namespace = $1 AND cache_key NOT IN (
               SELECT cache_key FROM build_cache WHERE namespace = $1 ORDER BY used_ms DESC, cache_key LIMIT $2)",
        )
        .bind(namespace)
        .bind(ENTRIES_MAX)
        .execute(&mut tx)
        .await?;
        tx.commit().await
    }
}
