//! What services use: counted by each node, flushed every second, never twice.
//!
//! A node sends what it counted since its last batch ([`flush`]). Batches of a process are numbered; the same number
//! sent again changes nothing, so whoever does not know whether a batch arrived sends it again. What a node may spend of
//! a month's budget without asking is leased in the same transaction ([`budget`]).

pub mod alerts;
pub mod budget;
pub mod flush;

use micro_api::Namespace;
use micro_api::usage::Usage;

use crate::calendar::{DAY_MS, day_of, day_text, month_of_day};
use crate::dialect::Tx;
use crate::query::{Query, query};
use crate::row::record;
use crate::{Db, Error, now_ms};

pub use alerts::{Alert, Level, Standing};
pub use budget::{Budget, Grant, Wish};
pub use flush::{Batch, Sample, StoreSize};

/// Rows of one page of [`Db::usage`], at most.
pub const PAGE_MAX: i64 = 10_000;

/// What a namespace used in a month of what is limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Month {
    pub requests: i64,
    pub cpu_ms: i64,
    pub egress_bytes: i64,
    pub build_ms: i64,
}
record!(Month { requests, cpu_ms, egress_bytes, build_ms });

/// What a namespace has now of what is counted, and what it used this month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    pub services: i64,
    pub members: i64,
    pub store_bytes: i64,
    pub blob_bytes: i64,
    pub month: Month,
}

/// What a namespace used over a span of days, of what is charged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    pub requests: i64,
    pub cpu_ms: i64,
    pub memory_mib_seconds: i64,
    pub egress_bytes: i64,
    /// Bytes held, summed over the days.
    pub store_byte_days: i64,
    pub build_ms: i64,
}
record!(Total { requests, cpu_ms, memory_mib_seconds, egress_bytes, store_byte_days, build_ms });

/// A row of `usage_days`.
#[derive(Debug)]
struct DayRow {
    day: i64,
    service: String,
    requests: i64,
    cpu_ms: i64,
    memory_mib_seconds: i64,
    egress_bytes: i64,
    store_bytes: i64,
    build_ms: i64,
}
record!(DayRow { day, service, requests, cpu_ms, memory_mib_seconds, egress_bytes, store_bytes, build_ms });

impl Db {
    /// What the services of `namespace` used from day `from` on, by day and name, at most `limit` rows and
    /// [`PAGE_MAX`]; those after the day and service of `after`.
    pub async fn usage(
        &self,
        namespace: &Namespace,
        from: i64,
        after: Option<(i64, &str)>,
        limit: i64,
    ) -> Result<Vec<Usage>, Error> {
        // No name is less than the empty one, so this is "from the first row of that day on".
        let (day, service) = after.filter(|(day, _)| *day >= from).unwrap_or((from, ""));
        let rows = usage_page().bind(namespace).bind(day).bind(service).bind(limit.clamp(1, PAGE_MAX));
        let rows = rows.read_all::<DayRow>(self).await?;
        Ok(rows.into_iter().map(Usage::from).collect())
    }

    /// What `namespace` used in a month.
    pub async fn month(&self, namespace: &Namespace, month: i64) -> Result<Month, Error> {
        Ok(month_query().bind(namespace).bind(month).read_first(self).await?.unwrap_or_default())
    }

    /// Where `namespace` stands in `month`.
    pub async fn used(&self, namespace: &Namespace, month: i64) -> Result<Used, Error> {
        let counts = counts_query().bind(namespace).read_first::<(i64, i64, i64)>(self).await?;
        let (services, members, store_bytes) = counts.unwrap_or_default();
        let blob_bytes = self.blob_bytes(namespace).await?;
        Ok(Used { services, members, store_bytes, blob_bytes, month: self.month(namespace, month).await? })
    }

    /// What `namespace` used from day `from` until before day `until`.
    pub async fn total(&self, namespace: &Namespace, from: i64, until: i64) -> Result<Total, Error> {
        let total = total_query().bind(namespace).bind(from).bind(until);
        Ok(total.read_first(self).await?.unwrap_or_default())
    }

    /// Notes what each service holds in the store for day `day`, where nothing else was noted: what holds is used also
    /// on days without a call. May be repeated.
    pub async fn carry_store(&self, day: i64) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        query(
            "usage_days.carry",
            "INSERT INTO usage_days (namespace, day, service, requests, cpu_ms, memory_mib_seconds, egress_bytes,
               store_bytes, build_ms)
             SELECT namespace, $1, service, 0, 0, 0, 0, bytes, 0 FROM store_sizes WHERE bytes > 0
             ON CONFLICT (namespace, day, service) DO NOTHING",
        )
        .bind(day)
        .execute(&mut tx)
        .await?;
        tx.commit_quietly().await
    }

    /// Forgets days before `before_day`, and what processes left that ended before `before_ms`.
    pub async fn prune_usage(&self, before_day: i64, before_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        for (prune, before) in [
            (query("usage_days.prune", "DELETE FROM usage_days WHERE day < $1"), before_day),
            (
                query("usage_months.prune", "DELETE FROM usage_months WHERE month < $1"),
                month_of_day(before_day),
            ),
            (query("alerts.prune", "DELETE FROM alerts WHERE month < $1"), month_of_day(before_day)),
            (query("usage_batches.prune", "DELETE FROM usage_batches WHERE at_ms < $1"), before_ms),
            (query("budget_leases.prune", "DELETE FROM budget_leases WHERE until_ms < $1"), before_ms),
        ] {
            prune.bind(before).execute(&mut tx).await?;
        }
        tx.commit_quietly().await
    }
}

/// One page, in the order of the primary key.
pub(crate) fn usage_page() -> Query {
    query(
        "usage_days.page",
        "SELECT day, service, requests, cpu_ms, memory_mib_seconds, egress_bytes, store_bytes, build_ms
         FROM usage_days WHERE namespace = $1 AND (day, service) > ($2, $3) ORDER BY day, service LIMIT $4",
    )
}

pub(crate) fn month_query() -> Query {
    query(
        "usage_months.get",
        "SELECT requests, cpu_ms, egress_bytes, build_ms FROM usage_months WHERE namespace = $1 AND month = $2",
    )
}

pub(crate) fn counts_query() -> Query {
    query(
        "usage.counts",
        "SELECT (SELECT COUNT(DISTINCT v.service) FROM versions v WHERE v.namespace = $1),
           (SELECT COUNT(*) FROM members m WHERE m.namespace = $1),
           (SELECT CAST(COALESCE(SUM(s.bytes), 0) AS BIGINT) FROM store_sizes s WHERE s.namespace = $1)",
    )
}

pub(crate) fn total_query() -> Query {
    query(
        "usage_days.total",
        "SELECT CAST(COALESCE(SUM(requests), 0) AS BIGINT) AS requests,
           CAST(COALESCE(SUM(cpu_ms), 0) AS BIGINT) AS cpu_ms,
           CAST(COALESCE(SUM(memory_mib_seconds), 0) AS BIGINT) AS memory_mib_seconds,
           CAST(COALESCE(SUM(egress_bytes), 0) AS BIGINT) AS egress_bytes,
           CAST(COALESCE(SUM(store_bytes), 0) AS BIGINT) AS store_byte_days,
           CAST(COALESCE(SUM(build_ms), 0) AS BIGINT) AS build_ms
         FROM usage_days WHERE namespace = $1 AND day >= $2 AND day < $3",
    )
}

/// As [`Db::month`], in a transaction.
pub(crate) async fn of_month(tx: &mut Tx, namespace: &str, month: i64) -> Result<Month, Error> {
    Ok(month_query().bind(namespace).bind(month).first(tx).await?.unwrap_or_default())
}

/// Counts a build, by the days that it ran in.
pub(crate) async fn add_build(
    tx: &mut Tx,
    namespace: &str,
    service: &str,
    from_ms: i64,
    until_ms: i64,
) -> Result<(), Error> {
    // Flushes touch the same rows, in an order of their own.
    tx.lock(flush::LOCK).await?;
    let mut from = from_ms;
    while from < until_ms {
        let day = day_of(from);
        let until = until_ms.min((day + 1).saturating_mul(DAY_MS));
        add_build_day(tx, namespace, service, day, until - from).await?;
        from = until;
    }
    Ok(())
}

async fn add_build_day(
    tx: &mut Tx,
    namespace: &str,
    service: &str,
    day: i64,
    build_ms: i64,
) -> Result<(), Error> {
    query(
        "usage_days.build",
        "INSERT INTO usage_days (namespace, day, service, requests, cpu_ms, memory_mib_seconds, egress_bytes,
           store_bytes, build_ms)
         VALUES ($1, $2, $3, 0, 0, 0, 0,
           COALESCE((SELECT s.bytes FROM store_sizes s WHERE s.namespace = $1 AND s.service = $3), 0), $4)
         ON CONFLICT (namespace, day, service) DO UPDATE SET build_ms = usage_days.build_ms + excluded.build_ms",
    )
    .bind(namespace)
    .bind(day)
    .bind(service)
    .bind(build_ms)
    .execute(tx)
    .await?;
    query(
        "usage_months.build",
        "INSERT INTO usage_months (namespace, month, requests, cpu_ms, egress_bytes, build_ms, updated_ms)
         VALUES ($1, $2, 0, 0, 0, $3, $4)
         ON CONFLICT (namespace, month) DO UPDATE SET
           build_ms = usage_months.build_ms + excluded.build_ms, updated_ms = excluded.updated_ms",
    )
    .bind(namespace)
    .bind(month_of_day(day))
    .bind(build_ms)
    .bind(now_ms())
    .execute(tx)
    .await
    .map(drop)
}

impl From<DayRow> for Usage {
    fn from(row: DayRow) -> Self {
        Self {
            day: day_text(row.day),
            service: row.service,
            requests: row.requests,
            cpu_ms: row.cpu_ms,
            memory_mib_seconds: row.memory_mib_seconds,
            egress_bytes: row.egress_bytes,
            store_bytes: row.store_bytes,
            // A build of half a second is one.
            build_seconds: row.build_ms.saturating_add(999) / 1_000,
        }
    }
}
