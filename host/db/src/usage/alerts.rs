//! Limits that are nearly used, told once a month each.

use micro_api::Namespace;

use crate::query::{Query, query};
use crate::row::record;
use crate::{Db, Error, now_ms};

/// Namespaces of one round of [`Db::standings`].
const ROUND_MAX: i64 = 10_000;

/// A namespace that used something lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub namespace: String,
    /// Empty when the namespace has no row.
    pub plan: String,
    pub requests: i64,
    pub cpu_ms: i64,
    pub egress_bytes: i64,
    pub build_ms: i64,
    pub store_bytes: i64,
    /// When it last used something, Unix milliseconds.
    pub updated_ms: i64,
}
record!(Standing { namespace, plan, requests, cpu_ms, egress_bytes, build_ms, store_bytes, updated_ms });

/// A limit of which so much is used, in the units of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    pub namespace: String,
    pub month: i64,
    /// As plans name it.
    pub name: &'static str,
    /// 80 or 100 per cent.
    pub level: i64,
    pub used: i64,
    pub max: i64,
}

/// An alert as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    pub namespace: String,
    /// Months since January 1970.
    pub month: i64,
    /// The limit, as plans name it.
    pub name: String,
    /// 80 or 100 per cent.
    pub level: i64,
    /// When it was raised.
    pub used: i64,
    pub max: i64,
    pub created_ms: i64,
    tried_ms: i64,
}
record!(Alert { namespace, month, name, level, used, max, created_ms, tried_ms });

macro_rules! select_alert {
    ($tail:literal) => {
        concat!("SELECT namespace, month, name, level, used, max, created_ms, tried_ms FROM alerts ", $tail)
    };
}

impl Db {
    /// Namespaces that used something in `month` since `since_ms`, oldest first; the next round goes on from the last.
    pub async fn standings(&self, month: i64, since_ms: i64) -> Result<Vec<Standing>, Error> {
        standings_query().bind(month).bind(since_ms).bind(ROUND_MAX).read_all(self).await
    }

    /// Notes what was not noted before, and returns it.
    pub async fn raise_alerts(&self, levels: Vec<Level>) -> Result<Vec<Level>, Error> {
        if levels.is_empty() {
            return Ok(levels);
        }
        let mut tx = self.begin_unlocked().await?;
        let mut new = Vec::new();
        for level in levels {
            let insert = query(
                "alerts.insert",
                "INSERT INTO alerts (namespace, month, name, level, used, max, created_ms, tried_ms, told_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0) ON CONFLICT (namespace, month, name, level) DO NOTHING",
            );
            let insert = insert.bind(&level.namespace).bind(level.month).bind(level.name).bind(level.level);
            let insert = insert.bind(level.used).bind(level.max).bind(now_ms());
            if insert.execute(&mut tx).await? > 0 {
                new.push(level);
            }
        }
        tx.commit().await?;
        Ok(new)
    }

    /// Takes up alerts that nobody was told of, oldest first, at most 100. Whoever tells one says so by
    /// [`Db::alert_told`]; one that was taken up and not told comes again after `retry_ms`.
    pub async fn due_alerts(&self, retry_ms: i64) -> Result<Vec<Alert>, Error> {
        let before = now_ms() - retry_ms;
        if due_query().bind(before).read_first::<Alert>(self).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin_unlocked().await?;
        let mut taken = Vec::new();
        for alert in due_query().bind(before).all::<Alert>(&mut tx).await? {
            let take = query(
                "alerts.take",
                "UPDATE alerts SET tried_ms = $5
                 WHERE namespace = $1 AND month = $2 AND name = $3 AND level = $4 AND tried_ms = $6",
            );
            let take = take.bind(&alert.namespace).bind(alert.month).bind(&alert.name).bind(alert.level);
            if take.bind(now_ms()).bind(alert.tried_ms).execute(&mut tx).await? > 0 {
                taken.push(alert);
            }
        }
        tx.commit_quietly().await?;
        Ok(taken)
    }

    /// The members of the namespace know.
    pub async fn alert_told(&self, alert: &Alert) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        query(
            "alerts.told",
            "UPDATE alerts SET told_ms = $5 WHERE namespace = $1 AND month = $2 AND name = $3 AND level = $4",
        )
        .bind(&alert.namespace)
        .bind(alert.month)
        .bind(&alert.name)
        .bind(alert.level)
        .bind(now_ms())
        .execute(&mut tx)
        .await?;
        tx.commit_quietly().await
    }

    /// Alerts of a namespace in a month, by limit and level.
    pub async fn alerts(&self, namespace: &Namespace, month: i64) -> Result<Vec<Alert>, Error> {
        let alerts =
            query("alerts.list", select_alert!("WHERE namespace = $1 AND month = $2 ORDER BY name, level"));
        alerts.bind(namespace).bind(month).read_all(self).await
    }
}

pub(crate) fn standings_query() -> Query {
    query(
        "usage_months.standings",
        "SELECT m.namespace, COALESCE(n.plan, '') AS plan, m.requests, m.cpu_ms, m.egress_bytes, m.build_ms,
           (SELECT CAST(COALESCE(SUM(s.bytes), 0) AS BIGINT) FROM store_sizes s WHERE s.namespace = m.namespace)
             AS store_bytes,
           m.updated_ms
         FROM usage_months m LEFT JOIN namespaces n ON n.namespace = m.namespace
         WHERE m.month = $1 AND m.updated_ms >= $2 ORDER BY m.updated_ms LIMIT $3",
    )
}

pub(crate) fn due_query() -> Query {
    query("alerts.due", select_alert!("WHERE told_ms = 0 AND tried_ms < $1 ORDER BY created_ms LIMIT 100"))
}
