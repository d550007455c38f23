//! Fills tables before they are measured: by the backend what is small, in bulk what has grown.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use micro_capability::store::{Backend, Change, TableKey, Write};

use super::looper::{name, scope, value};
use super::servers::{NAMESPACE, Postgres, Redis, TABLE};

/// Records of a transaction of ours, and commands of a pipeline of Redis.
const TOGETHER: u64 = 100;
const PIPELINE: u64 = 5_000;

/// All keys, through a backend.
pub(super) async fn store(backend: &dyn Backend, keys: u64, bytes: u64) -> Result<()> {
    let table = TableKey::own(&scope()?);
    let own = (table.namespace().as_str(), table.table());
    ensure!(own == (NAMESPACE, TABLE), "the guest's table is {own:?}");
    let value = Bytes::from(value(bytes));
    let mut first = 0;
    while first < keys {
        let some = first..keys.min(first + TOGETHER);
        let change = |number| Write { key: name(number).into(), value: value.clone(), ttl_ms: None };
        let changes = some.map(change).map(Change::Set).collect();
        ensure!(backend.commit(&table, Vec::new(), changes).await?, "a key was not written");
        first += TOGETHER;
    }
    Ok(())
}

/// All keys, by one statement.
pub(super) async fn postgres(server: &Postgres, keys: u64, bytes: u64) -> Result<()> {
    let records = "INSERT INTO records (namespace, table_name, key, value)
        SELECT $1::TEXT, $2::TEXT, convert_to('k' || lpad(i::TEXT, 7, '0'), 'UTF8'), $3::BYTEA
        FROM generate_series(0, $4::BIGINT - 1) i
        ON CONFLICT DO NOTHING";
    let records = sqlx::query(records).bind(NAMESPACE).bind(TABLE).bind(value(bytes));
    records.bind(i64::try_from(keys)?).execute(&server.pool).await.context("fill the table")?;
    let sizes = "INSERT INTO sizes (namespace, table_name, part, bytes)
        SELECT namespace, table_name, part_of(key), SUM(octet_length(key) + octet_length(value) + 128)
        FROM records GROUP BY 1, 2, 3
        ON CONFLICT (namespace, table_name, part) DO UPDATE SET bytes = EXCLUDED.bytes";
    sqlx::query(sizes).execute(&server.pool).await.context("count the table")?;
    sqlx::raw_sql("VACUUM ANALYZE records").execute(&server.pool).await.context("analyse the table")?;
    Ok(())
}

/// All keys, in pipelines.
pub(super) async fn redis(server: &Redis, keys: u64, bytes: u64) -> Result<()> {
    let [values, order, _, sizes, _] = &server.store_keys();
    let (mut connection, value) = (server.connection(0)?, value(bytes));
    let mut first = 0;
    while first < keys {
        let mut pipeline = redis::pipe();
        for number in first..keys.min(first + PIPELINE) {
            pipeline.cmd("HSET").arg(values).arg(name(number)).arg(value.as_slice()).ignore();
            pipeline.cmd("ZADD").arg(order).arg(0).arg(name(number)).ignore();
        }
        pipeline.query_async::<()>(&mut connection).await.context("fill the table")?;
        first += PIPELINE;
    }
    let held = keys * (name(0).len() as u64 + bytes + 128);
    let mut pipeline = redis::pipe();
    pipeline.cmd("HSET").arg(sizes).arg(TABLE).arg(held).arg("").arg(held).ignore();
    pipeline.query_async::<()>(&mut connection).await.context("count the table")
}
