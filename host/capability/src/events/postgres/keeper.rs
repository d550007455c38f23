//! Removes what retention does not keep. It beats a group that is behind: what such a group loses is counted.

use std::sync::Arc;

use micro_api::name::Namespace;

use super::rows::{from_sql, to_sql};
use crate::events::{Error, Plans};
use crate::postgres::Server;

/// Events removed at a time.
const STEP: i64 = 1_000;
/// Steps of one sweep of a namespace; the next goes on.
pub(super) const SWEEP_STEPS: usize = 40;
/// Namespaces that a sweep looks at in one round trip.
const PAGE: i64 = 256;
/// Ephemeral groups that one sweep forgets.
const FORGET: usize = 256;
/// How long an ephemeral group lives that nobody asks for, milliseconds.
const EPHEMERAL_MS: i64 = 600_000;
/// How long the row of a process that is gone stays, milliseconds.
const GONE_NODE_MS: i64 = 600_000;

#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) server: Arc<Server>,
    pub(super) plans: Arc<Plans>,
}

impl Keeper {
    /// At most so many steps: an append must make room for all that it adds, a sweep may go on later. Each step removes
    /// something or is the last.
    pub(super) async fn trim(&self, namespace: &Namespace, steps: usize) -> Result<(), Error> {
        let retention = self.plans.of(namespace);
        let mut lost = 0;
        for _ in 0..steps {
            let trimmed = self.server.retried(|| {
                sqlx::query_as::<_, (i64, i64)>("SELECT removed, missed FROM trim_events($1, $2, $3, $4)")
                    .bind(namespace.as_str())
                    .bind(to_sql(retention.age_ms))
                    .bind(to_sql(retention.bytes))
                    .bind(STEP)
                    .fetch_one(&self.server.pool)
            });
            let (removed, missed) = trimmed.await?;
            lost += from_sql(missed);
            if removed == 0 {
                break;
            }
        }
        if lost > 0 {
            tracing::warn!(%namespace, lost, "retention removed events that a group had not acknowledged");
        }
        Ok(())
    }

    /// Removes old events of all namespaces, ephemeral groups that nobody asks for, and processes that are gone.
    pub(super) async fn sweep(&self) -> Result<(), Error> {
        let mut after = String::new();
        loop {
            let page = self.server.retried(|| {
                sqlx::query_as::<_, (String, Option<i64>, Option<i64>)>(
                    "SELECT n.namespace,
                       now_ms() - (SELECT e.timestamp_ms FROM events e WHERE e.namespace = n.namespace
                         ORDER BY e.timestamp_ms LIMIT 1),
                       (SELECT SUM(t.bytes)::BIGINT FROM topics t WHERE t.namespace = n.namespace)
                     FROM namespaces n WHERE n.namespace > $1 ORDER BY n.namespace LIMIT $2",
                )
                .bind(&after)
                .bind(PAGE)
                .fetch_all(&self.server.pool)
            });
            let page = page.await?;
            let Some((last, ..)) = page.last() else { break };
            after.clone_from(last);
            for (namespace, age_ms, bytes) in page {
                let Ok(namespace) = namespace.parse::<Namespace>() else { continue };
                let retention = self.plans.of(&namespace);
                if age_ms.is_some_and(|age_ms| age_ms > to_sql(retention.age_ms))
                    || bytes.is_some_and(|bytes| bytes > to_sql(retention.bytes))
                {
                    self.trim(&namespace, SWEEP_STEPS).await?;
                }
            }
        }
        for _ in 0..FORGET {
            // Each in a transaction of its own, which so waits for one topic only.
            let forgot = self.server.retried(|| {
                sqlx::query_as::<_, (bool,)>("SELECT forget_idle($1)")
                    .bind(EPHEMERAL_MS)
                    .fetch_one(&self.server.pool)
            });
            if !forgot.await?.0 {
                break;
            }
        }
        let gone = self.server.retried(|| {
            sqlx::query("DELETE FROM nodes WHERE expires_ms < now_ms() - $1")
                .bind(GONE_NODE_MS)
                .execute(&self.server.pool)
        });
        gone.await?;
        Ok(())
    }
}
