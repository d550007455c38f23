//! Archives that were sent ahead of a `run`.

use micro_api::Namespace;

use crate::dialect::Tx;
use crate::query::{Query, query};
use crate::{Db, Error, now_ms};

impl Db {
    /// Notes an upload whose bytes are on disk. `id` is unguessable. Fails with [`Error::UploadsFull`] when the
    /// namespace's uploads would hold more than `bytes_max` with it.
    pub async fn insert_upload(
        &self,
        namespace: &Namespace,
        id: &str,
        size: u64,
        bytes_max: u64,
    ) -> Result<(), Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let held = held().bind(namespace).first::<(i64,)>(&mut tx).await?;
        check_room(held, size, bytes_max)?;
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

    /// Fails as [`Db::insert_upload`] would for an upload of `size` bytes, before they are received.
    pub async fn check_upload(&self, namespace: &Namespace, size: u64, bytes_max: u64) -> Result<(), Error> {
        check_room(held().bind(namespace).read_first::<(i64,)>(self).await?, size, bytes_max)
    }

    /// Forgets uploads of `namespace` that were used and that no unfinished build needs. The ids that went: their files
    /// may go.
    pub async fn forget_used_uploads(&self, namespace: &Namespace) -> Result<Vec<String>, Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let ids = query(
            "uploads.forget_used",
            "DELETE FROM uploads WHERE namespace = $1 AND used = 1 AND NOT EXISTS (
               SELECT 1 FROM jobs j JOIN deployments d ON d.id = j.deployment
               WHERE d.request LIKE '%' || uploads.id || '%') RETURNING id",
        );
        let ids = ids.bind(namespace).all::<(String,)>(&mut tx).await?;
        tx.commit().await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
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

/// Bytes of a namespace's uploads.
fn held() -> Query {
    query("uploads.held", "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM uploads WHERE namespace = $1")
}

fn check_room(held: Option<(i64,)>, size: u64, bytes_max: u64) -> Result<(), Error> {
    let held = held.map_or(0, |(held,)| u64::try_from(held).unwrap_or(0));
    if held.saturating_add(size) > bytes_max { Err(Error::UploadsFull(bytes_max)) } else { Ok(()) }
}

/// Notes that a build was asked for with `upload`; fails unless it is this namespace's.
pub(crate) async fn take(tx: &mut Tx, namespace: &Namespace, upload: &str) -> Result<(), Error> {
    let take = query("uploads.take", "UPDATE uploads SET used = 1 WHERE id = $1 AND namespace = $2");
    match take.bind(upload).bind(namespace).execute(tx).await? {
        0 => Err(Error::NoUpload),
        _ => Ok(()),
    }
}
