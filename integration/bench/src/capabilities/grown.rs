//! Tables of a million keys and topics of a million events: how much slower an operation is than where there are ten
//! thousand, beside how much slower the same is without us.

use std::sync::Arc;

use anyhow::{Context, Result};
use micro_capability::store::Backend;

use super::compare::count;
use super::floor::Floor;
use super::looper::{Looper, Operation, Turn};
use super::store::{CONNECTIONS, GET, SET, looper, postgres_in, redis_in, sqlite_in};
use super::{KEYS, VALUE_BYTES, events, seed, servers, sqlite};
use crate::Effort;
use crate::table::{Goal, Pairs, Row, seconds};

/// Keys of a table, or events of a topic: of one that is small and of one that has grown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) few: u64,
    pub(super) many: u64,
}

const WHOLE: Sizes = Sizes { few: KEYS, many: 1_000_000 };
const QUICK: Sizes = Sizes { few: 1_000, many: 10_000 };
/// Our slow-down ÷ the floor's at most.
pub(super) const SLOWER: f64 = 1.5;

/// A guest over a table or topic of some size, and the floor of an operation on it.
pub(super) struct Measured {
    pub(super) looper: Arc<Looper>,
    pub(super) operation: Operation,
    pub(super) floor: Floor,
}

/// A store, and the floors of get and set on it.
type Table = (Arc<dyn Backend>, [Floor; 2]);

pub(super) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let sizes = if effort.turns > 1 { WHOLE } else { QUICK };
    let mut rows = on_sqlite(sizes, effort).await.context("a grown table in SQLite")?;
    if let Some(url) = servers::postgres_url() {
        rows.extend(on_postgres(&url, sizes, effort).await.context("a grown table in PostgreSQL")?);
    }
    if let Some(url) = servers::redis_url() {
        rows.extend(on_redis(&url, sizes, effort).await.context("a grown table in Redis")?);
    }
    rows.extend(events::grown(sizes, effort).await?);
    Ok(rows)
}

/// What an operation takes with much beside with little, ours and the floor's in turns.
pub(super) async fn slower(
    what: String,
    small: &Measured,
    large: &Measured,
    each: u64,
    effort: Effort,
) -> Result<Row> {
    let mut pairs = Pairs::default();
    // The first turn only warms caches.
    for number in 0..=effort.turns {
        let each = count(each, effort);
        let turn = Turn { count: each, first: number as u64 * each, concurrency: 1 };
        let mut times = [0.0; 4];
        for (time, sized) in times.iter_mut().zip([large, small]) {
            *time = sized.looper.run(sized.operation, turn).await?.p50;
        }
        for (time, sized) in times.iter_mut().skip(2).zip([large, small]) {
            *time = sized.floor.run(turn).await?.p50;
        }
        let [ours, ours_small, floor, floor_small] = times;
        if number > 0 {
            pairs.push(ours / ours_small, floor / floor_small);
        }
    }
    Ok(pairs.row(what, "floor", |ratio: f64| format!("{ratio:.2} x as slow"), Goal::AtMost(SLOWER)))
}

/// Gets and sets of a small table and a large one.
async fn both(
    name: &str,
    sizes: Sizes,
    tables: Vec<Table>,
    counts: [u64; 2],
    effort: Effort,
) -> Result<Vec<Row>> {
    let mut sized = Vec::new();
    for ((backend, floors), keys) in tables.into_iter().zip([sizes.few, sizes.many]) {
        let looper = Arc::new(looper(backend).await?);
        let one = |(operation, floor): (Operation, Floor)| Measured {
            looper: Arc::clone(&looper),
            operation: Operation { keys, ..operation },
            floor,
        };
        sized.push([GET, SET].into_iter().zip(floors).map(one).collect::<Vec<_>>());
    }
    let [small, large] = sized.as_slice() else { anyhow::bail!("two tables are compared") };
    let (mut rows, Sizes { few, many }) = (Vec::new(), sizes);
    for ((small, large), each) in small.iter().zip(large).zip(counts) {
        let what = format!("{} in {name}, {many} keys beside {few}, p50", large.operation.name);
        rows.push(slower(what, small, large, each, effort).await?);
    }
    Ok(rows)
}

async fn on_sqlite(sizes: Sizes, effort: Effort) -> Result<Vec<Row>> {
    let mut tables = Vec::new();
    let (small, large) = (tempfile::tempdir()?, tempfile::tempdir()?);
    for (folder, keys) in [(small.path(), sizes.few), (large.path(), sizes.many)] {
        // Makes the file. Hot keys are not kept, else a small table would be read from no file at all.
        let backend = sqlite_in(folder, Some(0))?;
        seed::store(&*backend, 1, VALUE_BYTES).await?;
        let file = sqlite::File::open(folder)?;
        file.fill(keys, VALUE_BYTES)?;
        tables.push((backend as Arc<dyn Backend>, [file.get(keys), file.set(keys, VALUE_BYTES)]));
    }
    let mut rows = both("SQLite without hot keys", sizes, tables, [5_000, 500], effort).await?;
    rows.push(hot(large.path(), sizes.many, effort).await?);
    Ok(rows)
}

/// As it comes: with memory for hot keys, of which a large table has more than fit.
async fn hot(folder: &std::path::Path, many: u64, effort: Effort) -> Result<Row> {
    let looper = looper(sqlite_in(folder, None)?).await?;
    let floor = sqlite::File::open(folder)?.get(many);
    let mut pairs = Pairs::default();
    for number in 0..=effort.turns {
        let each = count(5_000, effort);
        let turn = Turn { count: each, first: number as u64 * each, concurrency: 1 };
        let ours = looper.run(Operation { keys: many, ..GET }, turn).await?.p50;
        pairs.push(ours, floor.run(turn).await?.p50);
    }
    let what = format!("store.get in SQLite, {many} keys in no order, p50");
    Ok(pairs.row(what, "rusqlite alone", seconds, Goal::None))
}

async fn on_postgres(url: &str, sizes: Sizes, effort: Effort) -> Result<Vec<Row>> {
    let (mut tables, mut made) = (Vec::new(), Vec::new());
    for (schema, keys) in [("bench_small", sizes.few), ("bench_large", sizes.many)] {
        let backend = postgres_in(url, schema).await?;
        let server = servers::Postgres::connect(url, schema, CONNECTIONS).await?;
        seed::postgres(&server, keys, VALUE_BYTES).await?;
        tables.push((backend as Arc<dyn Backend>, [server.get(keys), server.set(keys, VALUE_BYTES)]));
        made.push(server);
    }
    let rows = both("PostgreSQL", sizes, tables, [2_000, 1_000], effort).await;
    for server in made {
        server.remove().await?;
    }
    rows
}

async fn on_redis(url: &str, sizes: Sizes, effort: Effort) -> Result<Vec<Row>> {
    let (mut tables, mut made) = (Vec::new(), Vec::new());
    for (prefix, keys) in [("bench-small", sizes.few), ("bench-large", sizes.many)] {
        let backend = redis_in(url, prefix).await?;
        let server = servers::Redis::connect(url, prefix).await?;
        seed::redis(&server, keys, VALUE_BYTES).await?;
        tables.push((backend as Arc<dyn Backend>, [server.get(keys), server.set(keys, VALUE_BYTES)]));
        made.push(server);
    }
    let rows = both("Redis", sizes, tables, [2_000, 500], effort).await;
    for server in made {
        server.remove().await?;
    }
    rows
}
