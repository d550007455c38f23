//! Archives that were sent ahead of a `run`.

use micro_api::Namespace;

use crate::dialect::Tx;
use crate::query::query;
use crate::{Db, Error, now_ms};

impl Db {
    /// Notes an upload whose bytes are on disk. `id` is unguessable.
    pub async fn insert_upload(&self, namespace: &Namespace, id: &str, size: u64) -> Result<(), Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        query(
            "uploads.insert",
            "INSERT INTO uploads (id, namespace, size, created_ms) VALUES ($1, $2, $3, $4)",
        )
        .bind(id)
        .bind(namespace)
        .bind(i64::try_from(size).unwrap_or(i64::MAX))
        .bind(now_ms())
        .execute(&mut tx)
        .await?;
        tx.commit().await
    }

    /// Forgets uploads older than `before_ms` that no unfinished build needs. The ids that stay: files of all others
    /// may go.
    pub async fn sweep_uploads(&self, before_ms: i64) -> Result<Vec<String>, Error> {
        let mut tx = self.begin_unlocked().await?;
        // A request names its upload in JSON; ids are UUIDs, so a plain search cannot match anything else.
        query(
            "uploads.sweep",
            "DELETE FROM uploads WHERE created_ms < $1 AND NOT EXISTS (
               SELECT 1 FROM jobs j JOIN deployments d ON d.id = j.deployment
               WHERE d.request LIKE '%' || uploads.id || '%')",
        )
        .bind(before_ms)
        .execute(&mut tx)
        .await?;
        let ids =
            query("uploads.list", "SELECT id FROM uploads ORDER BY id").all::<(String,)>(&mut tx).await?;
        tx.commit().await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }
}

/// Fails unless `upload` is this namespace's.
pub(crate) async fn check(tx: &mut Tx, namespace: &Namespace, upload: &str) -> Result<(), Error> {
    let found = query("uploads.check", "SELECT id FROM uploads WHERE id = $1 AND namespace = $2");
    found.bind(upload).bind(namespace).first::<(String,)>(tx).await?.map(drop).ok_or(Error::NoUpload)
}
