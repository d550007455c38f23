//! Forgetting what nobody needs any more, so that no table grows for ever.

use crate::query::query;
use crate::{Db, Error};

impl Db {
    /// Removes ended deployments older than `before_ms` that no version speaks of, their build logs, and revisions that
    /// no deployment made. Returns the number of deployments that went.
    pub async fn prune(&self, before_ms: i64) -> Result<u64, Error> {
        let mut tx = self.begin_unlocked().await?;
        let removed = query(
            "deployments.prune",
            "DELETE FROM deployments WHERE updated_ms < $1 AND state IN ('stopped', 'superseded', 'failed')
             AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.deployment = deployments.id OR v.active = deployments.id)",
        )
        .bind(before_ms)
        .execute(&mut tx)
        .await?;
        query(
            "build_log.prune",
            "DELETE FROM build_log WHERE NOT EXISTS (SELECT 1 FROM deployments d WHERE d.id = build_log.deployment)",
        )
        .execute(&mut tx)
        .await?;
        query(
            "revisions.prune",
            "DELETE FROM revisions WHERE created_ms < $1
             AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.revision = revisions.digest)",
        )
        .bind(before_ms)
        .execute(&mut tx)
        .await?;
        query("build_turns.prune", "DELETE FROM build_turns WHERE claimed_ms < $1")
            .bind(before_ms)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(removed)
    }
}
