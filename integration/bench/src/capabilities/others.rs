//! Messages, locks and blobs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use micro_api::name::Namespace;
use micro_capability::client::Codec;
use micro_capability::{Capabilities, blob, broker, sync};
use uuid::Uuid;

use super::compare::{Case, Judge, compare};
use super::floor::Floor;
use super::looper::{Looper, Operation, key, name, object, scope, value};
use super::{KEYS, VALUE_BYTES, servers};
use crate::Effort;
use crate::table::Row;

/// As the guest has it.
pub(super) const TOPIC: &str = "bench";
const BACKEND: &str = "backend alone";
const MINUTE: Duration = Duration::from_secs(60);
/// Blobs that are written over and read, of each size.
const BLOBS: u64 = 32;

pub(super) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let mut rows = messages(effort).await.context("messages")?;
    rows.extend(locks("memory", Arc::<sync::Memory>::default(), 5_000, Judge::Embedded, effort).await?);
    if let Some(url) = servers::postgres_url() {
        let config =
            sync::PostgresConfig { schema: "bench_locks".to_owned(), ..sync::PostgresConfig::new(&url) };
        let backend = sync::Postgres::open(&config).await?;
        rows.extend(locks("PostgreSQL", backend, 1_000, Judge::Networked, effort).await?);
        servers::Postgres::connect(&url, "bench_locks").await?.remove().await?;
    }
    for (size, bytes, count) in [("200 B", VALUE_BYTES, 300), ("1 MiB", 1 << 20, 48)] {
        rows.extend(blobs(size, bytes, count, effort).await.context("blobs")?);
    }
    Ok(rows)
}

/// To a topic with one group, which somebody empties meanwhile.
async fn messages(effort: Effort) -> Result<Vec<Row>> {
    let backend = Arc::new(broker::Memory::new(broker::MemoryConfig::default()));
    let topic = broker::TopicKey::new(&Namespace::default(), TOPIC)?;
    let group = broker::GroupKey { topic: topic.clone(), group: broker::Group::of(&scope()?, None, "n1") };
    broker::Backend::subscribe(&*backend, &group).await?;
    let reader = tokio::spawn(empty(Arc::clone(&backend), group));
    let (publisher, body) = (Arc::clone(&backend), Bytes::from(object(VALUE_BYTES)));
    let floor = Floor::new(move |_| {
        let (backend, topic, body) = (Arc::clone(&publisher), topic.clone(), body.clone());
        async move {
            let message = broker::Message {
                id: Uuid::new_v4().to_string(),
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                body: Bytes::copy_from_slice(&body),
                codec: Codec::Json,
                from: None,
                traceparent: String::new(),
                published_ms: 0,
            };
            broker::Backend::publish(&*backend, &topic, message).await?;
            Ok(())
        }
    });
    let looper = Looper::new(|capabilities| Capabilities { broker: backend, ..capabilities }).await?;
    let case = Case {
        what: "broker.publish in memory".to_owned(),
        operation: Operation { name: "broker.publish", keys: KEYS, bytes: VALUE_BYTES },
        count: 5_000,
        floor_name: BACKEND,
        floor,
        judge: Judge::Embedded,
        allowed: None,
    };
    let rows = compare(&looper, &case, effort).await;
    reader.abort();
    rows
}

/// Takes what a group has, until it is ended.
async fn empty(backend: Arc<broker::Memory>, group: broker::GroupKey) -> Result<()> {
    let claim = broker::Claim { max: 256, lease: MINUTE, wait: MINUTE };
    loop {
        for claimed in broker::Backend::claim(&*backend, &group, claim).await? {
            broker::Backend::ack(&*backend, &group, claimed.token).await?;
        }
    }
}

/// Takes a lock that nobody holds and gives it back.
async fn locks(
    name: &str,
    backend: Arc<dyn sync::Backend>,
    count: u64,
    judge: Judge,
    effort: Effort,
) -> Result<Vec<Row>> {
    let (locks, scope) = (Arc::clone(&backend), scope()?);
    let floor = Floor::new(move |number| {
        let (locks, key) = (Arc::clone(&locks), sync::LockKey::own(&scope, &key(number, KEYS)));
        async move {
            let key = key?;
            let until = tokio::time::Instant::now() + MINUTE;
            let lock = locks.acquire(&key, sync::Claim { holder: None, ttl: MINUTE, until }).await?;
            locks.release(&key, &lock.token).await?;
            Ok(())
        }
    });
    let looper = Looper::new(|capabilities| Capabilities { sync: backend, ..capabilities }).await?;
    let case = Case {
        what: format!("locks: acquire and release in {name}"),
        operation: Operation { name: "locks.cycle", keys: KEYS, bytes: 0 },
        count,
        floor_name: BACKEND,
        floor,
        judge,
        allowed: None,
    };
    compare(&looper, &case, effort).await
}

/// Writes over blobs of a folder, and reads them whole.
async fn blobs(size: &str, bytes: u64, count: u64, effort: Effort) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let objects = Arc::new(blob::Folder::open(folder.path().join("blobs"))?);
    let catalog = Arc::new(blob::MemoryCatalog::default());
    let urls = blob::Urls::new("http://localhost:8080", "localhost", [[1; 32]]);
    let limits = blob::Limits::default();
    let blobs = Arc::new(blob::Blobs::new(objects, catalog, Arc::default(), limits, urls));
    let (shelf, whole) = (blob::Shelf::own(&scope()?), Bytes::from(value(bytes)));
    for number in 0..BLOBS {
        let mut writing = blobs.create(shelf.key(&name(number))?, blob::New::default()).await?;
        writing.write(whole.clone()).await?;
        writing.finish().await?;
    }
    let (own, shelf_put, put_whole) = (Arc::clone(&blobs), shelf.clone(), whole);
    let put = Floor::new(move |number| {
        let (blobs, key) = (Arc::clone(&own), shelf_put.key(&key(number, BLOBS)));
        // A guest's bytes are copied out of its memory; the floor's are made anew, too.
        let whole = Bytes::copy_from_slice(&put_whole);
        async move {
            let mut writing = blobs.create(key?, blob::New::default()).await?;
            writing.write(whole).await?;
            writing.finish().await?;
            Ok(())
        }
    });
    let own = Arc::clone(&blobs);
    let get = Floor::new(move |number| {
        let (blobs, key) = (Arc::clone(&own), shelf.key(&key(number, BLOBS)));
        async move {
            let mut reading = blobs.open(&key?, 0, None).await?;
            while reading.next().await?.is_some() {}
            Ok(())
        }
    });
    let looper = Looper::new(|capabilities| Capabilities { blobs, ..capabilities }).await?;
    let mut rows = Vec::new();
    for (operation, floor) in [("blob.put", put), ("blob.get", get)] {
        let case = Case {
            what: format!("{operation} of {size} in a folder"),
            operation: Operation { name: operation, keys: BLOBS, bytes },
            count,
            floor_name: BACKEND,
            floor,
            judge: Judge::Embedded,
            allowed: None,
        };
        rows.extend(compare(&looper, &case, effort).await?);
    }
    Ok(rows)
}
