//! A node's second: what it counted is added, and what it may spend next is leased, in one transaction.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::calendar::{day_of, month_of_day};
use crate::dialect::{Tx, over_list};
use crate::query::query;
use crate::row::encode;
use crate::usage::{Grant, Wish, budget};
use crate::{Db, Error};

/// Flushes exclude each other by this name, which no namespace can have.
pub(crate) const LOCK: &str = "usage:flush";

/// What a service used since the batch before, on one day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    pub namespace: String,
    pub service: String,
    /// Days since 1970-01-01 UTC.
    pub day: i64,
    pub requests: i64,
    pub cpu_ms: i64,
    pub memory_mib_seconds: i64,
    pub egress_bytes: i64,
}

/// What a service holds in the store now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSize {
    pub namespace: String,
    pub service: String,
    pub bytes: i64,
}

/// What a process sends at once.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The node, the same after a restart.
    pub node: String,
    /// This run of it.
    pub boot: String,
    /// Grows by one with each batch of a boot. The same one sent again is counted once.
    pub sequence: i64,
    /// When it was collected, Unix milliseconds.
    pub now_ms: i64,
    pub samples: Vec<Sample>,
    pub stores: Vec<StoreSize>,
    pub wishes: Vec<Wish>,
    /// How long what is granted may be held without being renewed.
    pub lease_ms: i64,
}

impl Batch {
    /// Nothing would change.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.stores.is_empty() && self.wishes.is_empty()
    }
}

impl Db {
    /// Counts a batch, unless it was counted before, and grants its wishes. Wakes nobody.
    pub async fn flush_usage(&self, batch: &Batch) -> Result<Vec<Grant>, Error> {
        let mut tx = self.begin(LOCK).await?;
        if is_new(&mut tx, batch).await? {
            add_stores(&mut tx, batch).await?;
            add_days(&mut tx, batch).await?;
            add_months(&mut tx, batch).await?;
        }
        let grants = budget::grant(&mut tx, batch).await?;
        tx.commit_quietly().await?;
        Ok(grants)
    }
}

/// Notes the batch's number; false when it, or one after it, was noted before.
async fn is_new(tx: &mut Tx, batch: &Batch) -> Result<bool, Error> {
    let note = query(
        "usage_batches.note",
        "INSERT INTO usage_batches (node, boot, sequence, at_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (node, boot) DO UPDATE SET sequence = excluded.sequence, at_ms = excluded.at_ms
         WHERE usage_batches.sequence < excluded.sequence",
    );
    let note = note.bind(&batch.node).bind(&batch.boot).bind(batch.sequence).bind(batch.now_ms);
    Ok(note.execute(tx).await? > 0)
}

/// What the store holds now, and for the day.
async fn add_stores(tx: &mut Tx, batch: &Batch) -> Result<(), Error> {
    if batch.stores.is_empty() {
        return Ok(());
    }
    let mut rows: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for size in &batch.stores {
        rows.insert((&size.namespace, &size.service), size.bytes);
    }
    let rows: Vec<Value> =
        rows.into_iter().map(|((namespace, service), bytes)| json!([namespace, service, bytes])).collect();
    let rows = encode("store sizes", &rows)?;
    over_list!(
        tx,
        "store_sizes.set",
        "INSERT INTO store_sizes (namespace, service, bytes)
         SELECT t.value ->> 0, t.value ->> 1, CAST(t.value ->> 2 AS BIGINT)",
        "WHERE true ON CONFLICT (namespace, service) DO UPDATE SET bytes = excluded.bytes"
    )
    .bind(&rows)
    .execute(tx)
    .await?;
    over_list!(
        tx,
        "usage_days.store",
        "INSERT INTO usage_days (namespace, day, service, requests, cpu_ms, memory_mib_seconds, egress_bytes,
           store_bytes, build_ms)
         SELECT t.value ->> 0, $2, t.value ->> 1, 0, 0, 0, 0, CAST(t.value ->> 2 AS BIGINT), 0",
        "WHERE true ON CONFLICT (namespace, day, service) DO UPDATE SET store_bytes = excluded.store_bytes"
    )
    .bind(&rows)
    .bind(day_of(batch.now_ms))
    .execute(tx)
    .await
    .map(drop)
}

async fn add_days(tx: &mut Tx, batch: &Batch) -> Result<(), Error> {
    if batch.samples.is_empty() {
        return Ok(());
    }
    // One row a key: a statement may not touch a row twice.
    let mut rows: BTreeMap<(&str, i64, &str), [i64; 4]> = BTreeMap::new();
    for sample in &batch.samples {
        let row = rows.entry((&sample.namespace, sample.day, &sample.service)).or_default();
        let add = [sample.requests, sample.cpu_ms, sample.memory_mib_seconds, sample.egress_bytes];
        row.iter_mut().zip(add).for_each(|(sum, add)| *sum = sum.saturating_add(add));
    }
    let row =
        |((namespace, day, service), [requests, cpu, memory, egress]): ((&str, i64, &str), [i64; 4])| {
            json!([namespace, day, service, requests, cpu, memory, egress])
        };
    let rows: Vec<Value> = rows.into_iter().map(row).collect();
    over_list!(
        tx,
        "usage_days.add",
        "INSERT INTO usage_days (namespace, day, service, requests, cpu_ms, memory_mib_seconds, egress_bytes,
           store_bytes, build_ms)
         SELECT t.value ->> 0, CAST(t.value ->> 1 AS BIGINT), t.value ->> 2, CAST(t.value ->> 3 AS BIGINT),
           CAST(t.value ->> 4 AS BIGINT), CAST(t.value ->> 5 AS BIGINT), CAST(t.value ->> 6 AS BIGINT),
           COALESCE((SELECT s.bytes FROM store_sizes s
             WHERE s.namespace = t.value ->> 0 AND s.service = t.value ->> 2), 0), 0",
        "WHERE true ON CONFLICT (namespace, day, service) DO UPDATE SET
           requests = usage_days.requests + excluded.requests,
           cpu_ms = usage_days.cpu_ms + excluded.cpu_ms,
           memory_mib_seconds = usage_days.memory_mib_seconds + excluded.memory_mib_seconds,
           egress_bytes = usage_days.egress_bytes + excluded.egress_bytes"
    )
    .bind(encode("usage", &rows)?)
    .execute(tx)
    .await
    .map(drop)
}

/// Also touches the months of namespaces whose store changed, so that their limits are looked at.
async fn add_months(tx: &mut Tx, batch: &Batch) -> Result<(), Error> {
    let mut rows: BTreeMap<(&str, i64), [i64; 3]> = BTreeMap::new();
    for sample in &batch.samples {
        let row = rows.entry((&sample.namespace, month_of_day(sample.day))).or_default();
        let add = [sample.requests, sample.cpu_ms, sample.egress_bytes];
        row.iter_mut().zip(add).for_each(|(sum, add)| *sum = sum.saturating_add(add));
    }
    for size in &batch.stores {
        rows.entry((&size.namespace, month_of_day(day_of(batch.now_ms)))).or_default();
    }
    if rows.is_empty() {
        return Ok(());
    }
    let row = |((namespace, month), [requests, cpu, egress]): ((&str, i64), [i64; 3])| {
        json!([namespace, month, requests, cpu, egress])
    };
    let rows: Vec<Value> = rows.into_iter().map(row).collect();
    over_list!(
        tx,
        "usage_months.add",
        "INSERT INTO usage_months (namespace, month, requests, cpu_ms, egress_bytes, build_ms, updated_ms)
         SELECT t.value ->> 0, CAST(t.value ->> 1 AS BIGINT), CAST(t.value ->> 2 AS BIGINT),
           CAST(t.value ->> 3 AS BIGINT), CAST(t.value ->> 4 AS BIGINT), 0, $2",
        "WHERE true ON CONFLICT (namespace, month) DO UPDATE SET
           requests = usage_months.requests + excluded.requests,
           cpu_ms = usage_months.cpu_ms + excluded.cpu_ms,
           egress_bytes = usage_months.egress_bytes + excluded.egress_bytes,
           updated_ms = excluded.updated_ms"
    )
    .bind(encode("usage", &rows)?)
    .bind(batch.now_ms)
    .execute(tx)
    .await
    .map(drop)
}
