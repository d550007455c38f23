//! Writes over blobs, and reads them whole: small ones and such of a mebibyte.
//!
//! The floors do what a blob takes: bytes are hashed, go under a new name, and what they replace is removed.

mod bucket;
mod files;

use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use micro_capability::{Capabilities, blob};

use super::VALUE_BYTES;
use super::compare::{Case, Judge, compare};
use super::floor::Floor;
use super::looper::{Looper, Operation, name, scope, value};
use crate::Effort;
use crate::table::Row;
use bucket::Bucket;
use files::Files;

/// Blobs that are written over and read, of each size.
const BLOBS: u64 = 32;
const SIZES: [(&str, u64); 2] = [("200 B", VALUE_BYTES), ("1 MiB", 1 << 20)];

pub(super) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (size, bytes) in SIZES {
        rows.extend(in_folder(size, bytes, effort).await.context("blobs in a folder")?);
    }
    let Some(url) = bucket::url() else { return Ok(rows) };
    for (size, bytes) in SIZES {
        rows.extend(in_bucket(&url, size, bytes, effort).await.context("blobs in S3")?);
    }
    Ok(rows)
}

/// Where blobs of one size are, and the floors.
struct Subject<'a> {
    place: &'static str,
    size: &'a str,
    bytes: u64,
    objects: Arc<dyn blob::Objects>,
    floor_name: &'static str,
    put: Floor,
    get: Floor,
    judge: Judge,
    count: u64,
}

async fn in_folder(size: &str, bytes: u64, effort: Effort) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let objects = Arc::new(blob::Folder::open(folder.path().join("blobs"))?);
    let files = Files::open(folder.path().join("files"))?;
    let whole = Bytes::from(value(bytes));
    for number in 0..BLOBS {
        files.put(name(number), whole.clone()).await?;
    }
    let is_small = bytes == VALUE_BYTES;
    let subject = Subject {
        place: "a folder",
        size,
        bytes,
        objects,
        floor_name: "tokio::fs alone",
        put: files.putting(whole, BLOBS),
        get: files.getting(BLOBS),
        // What a large value takes, its bytes take: they are copied into the guest and out of it.
        judge: if is_small { Judge::Embedded } else { Judge::Throughput },
        count: if is_small { 300 } else { 48 },
    };
    on(subject, effort).await
}

async fn in_bucket(url: &str, size: &str, bytes: u64, effort: Effort) -> Result<Vec<Row>> {
    let bucket = Bucket::make(url).await?;
    let objects = Arc::new(blob::S3::open(bucket.config()).await?);
    let whole = Bytes::from(value(bytes));
    for number in 0..BLOBS {
        bucket.put(name(number), whole.clone()).await?;
    }
    let subject = Subject {
        place: "S3",
        size,
        bytes,
        objects,
        floor_name: "object_store alone",
        put: bucket.putting(whole, BLOBS),
        get: bucket.getting(BLOBS),
        judge: Judge::Throughput,
        count: if bytes == VALUE_BYTES { 200 } else { 32 },
    };
    on(subject, effort).await
}

async fn on(subject: Subject<'_>, effort: Effort) -> Result<Vec<Row>> {
    let Subject { place, size, bytes, objects, floor_name, put, get, judge, count } = subject;
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
    let looper = Looper::new(|capabilities| Capabilities { blobs, ..capabilities }).await?;
    let mut rows = Vec::new();
    for (operation, floor) in [("blob.put", put), ("blob.get", get)] {
        let case = Case {
            what: format!("{operation} of {size} in {place}"),
            operation: Operation { name: operation, keys: BLOBS, bytes },
            count,
            floor_name,
            floor,
            judge,
            allowed: None,
        };
        rows.extend(compare(&looper, &case, effort).await?);
    }
    Ok(rows)
}
