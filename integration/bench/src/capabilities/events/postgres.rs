//! The log of a schema of PostgreSQL by sqlx alone.

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use micro_capability::events::{GROUPS_MAX, PENDING_MAX, READ_BYTES_MAX, TOPICS_MAX};
use uuid::Uuid;

use super::native::{ACK_WAIT_MS, AGE_MS, KEPT_BYTES, METADATA, Native, Terms, size};
use crate::capabilities::floor::Floor;
use crate::capabilities::looper::{mixed, object};
use crate::capabilities::servers::{NAMESPACE, Postgres};
use crate::capabilities::{TOPIC, VALUE_BYTES};

/// Connections: as many as our log lends one namespace, which is half of what it has.
pub(super) const CONNECTIONS: u32 = 4;

/// See the module.
pub(super) struct Log {
    server: Postgres,
    /// Who takes.
    node: Uuid,
}

/// What `take` answers: kind, position, id, time, metadata, payload, attempts.
type Taken = (i32, Option<i64>, Option<Vec<u8>>, Option<i64>, Option<String>, Option<Vec<u8>>, Option<i64>);

impl Log {
    pub(super) fn new(server: Postgres) -> Self {
        Self { server, node: Uuid::new_v4() }
    }
}

#[async_trait]
impl Native for Log {
    fn append(&self) -> Floor {
        let pool = self.server.pool.clone();
        Floor::new(move |_| {
            let (pool, payload) = (pool.clone(), object(VALUE_BYTES));
            async move {
                let id = Uuid::new_v4();
                let (ids, metas) = (vec![id.as_bytes().as_slice()], vec![METADATA.to_owned()]);
                let (loads, sizes) = (vec![payload.as_slice()], vec![to_sql(size())]);
                let placed = sqlx::query_as::<_, (i64, i64, bool)>(
                    "SELECT pos, at_ms, crowded FROM append($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                );
                let placed = placed.bind(NAMESPACE).bind(TOPIC).bind(&ids).bind(&metas).bind(&loads);
                let placed = placed.bind(&sizes).bind(count(TOPICS_MAX)).bind(to_sql(AGE_MS));
                let placed = placed.bind(to_sql(KEPT_BYTES)).fetch_all(&pool).await?;
                ensure!(placed.len() == 1, "an event was not appended");
                Ok(())
            }
        })
    }

    fn read(&self, events: u64) -> Floor {
        let pool = self.server.pool.clone();
        Floor::new(move |number| {
            let pool = pool.clone();
            async move {
                let page = sqlx::query_as::<_, (i64, Vec<u8>, i64, String, Vec<u8>)>(
                    "SELECT p.position, p.id, p.timestamp_ms, p.metadata, p.payload FROM (
                       SELECT e.*, row_number() OVER w AS number, SUM(e.bytes - $7) OVER w AS total FROM (
                         SELECT * FROM events v WHERE v.namespace = $1 AND v.topic = $2 AND v.position > $3
                           AND v.timestamp_ms >= (SELECT now_ms()) - $4 ORDER BY v.position LIMIT $5
                       ) e WINDOW w AS (ORDER BY e.position)
                     ) p WHERE p.number = 1 OR p.total <= $6 ORDER BY p.position",
                );
                let page = page.bind(NAMESPACE).bind(TOPIC).bind(to_sql(mixed(number, events)));
                let page = page.bind(to_sql(AGE_MS)).bind(1_i64).bind(count(READ_BYTES_MAX)).bind(128_i64);
                ensure!(!page.fetch_all(&pool).await?.is_empty(), "an event is missing");
                Ok(())
            }
        })
    }

    async fn take(&self, terms: &Terms) -> Result<Vec<Uuid>> {
        let call = Uuid::new_v4();
        let taken = sqlx::query_as::<_, Taken>(
            "SELECT kind, pos, event_id, at_ms, meta, load, tried
             FROM take($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        );
        let taken = taken.bind(NAMESPACE).bind(TOPIC).bind(&terms.group);
        let taken = taken.bind(self.node.as_bytes().as_slice()).bind(5_000_i64);
        let taken = taken.bind(call.as_bytes().as_slice()).bind(false).bind(count(terms.max));
        let taken = taken.bind(to_sql(ACK_WAIT_MS)).bind(Some(0_i64)).bind(count(terms.max));
        let taken = taken.bind(2_i32).bind(to_sql(terms.after)).bind(Some(to_sql(AGE_MS)));
        let taken = taken.bind(count(GROUPS_MAX)).bind(count(PENDING_MAX)).bind(count(READ_BYTES_MAX));
        let taken = taken.fetch_all(&self.server.pool).await?;
        let id = |row: Taken| Ok(Uuid::from_slice(&row.2.context("no event was taken")?)?);
        taken.into_iter().map(id).collect()
    }

    async fn ack(&self, group: &str, id: Uuid) -> Result<()> {
        let done = sqlx::query(
            "DELETE FROM pending p WHERE p.namespace = $1 AND p.topic = $2 AND p.name = $3
               AND p.position = (SELECT e.position FROM events e
                 WHERE e.namespace = $1 AND e.topic = $2 AND e.id = $4)",
        );
        let done = done.bind(NAMESPACE).bind(TOPIC).bind(group).bind(id.as_bytes().as_slice());
        ensure!(done.execute(&self.server.pool).await?.rows_affected() == 1, "an event was not pending");
        Ok(())
    }

    async fn fill(&self, events: u64) -> Result<()> {
        let rows =
            "INSERT INTO events (namespace, topic, position, id, timestamp_ms, bytes, metadata, payload)
            SELECT t.namespace, t.topic, i, decode(lpad(to_hex(i), 32, '0'), 'hex'), t.newest_ms, $4::BIGINT,
              $5::TEXT, $6::BYTEA
            FROM topics t, generate_series(2::BIGINT, $3::BIGINT) i
            WHERE t.namespace = $1 AND t.topic = $2";
        let rows = sqlx::query(rows).bind(NAMESPACE).bind(TOPIC).bind(to_sql(events)).bind(to_sql(size()));
        let rows = rows.bind(METADATA).bind(object(VALUE_BYTES));
        rows.execute(&self.server.pool).await.context("fill the topic")?;
        let last = "UPDATE topics SET last = $3::BIGINT, bytes = $3::BIGINT * $4::BIGINT
            WHERE namespace = $1 AND topic = $2";
        let last = sqlx::query(last).bind(NAMESPACE).bind(TOPIC).bind(to_sql(events)).bind(to_sql(size()));
        last.execute(&self.server.pool).await.context("count the topic")?;
        sqlx::raw_sql("VACUUM ANALYZE events")
            .execute(&self.server.pool)
            .await
            .context("analyse the topic")?;
        Ok(())
    }
}

fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
