//! Objects in a bucket of any server that speaks S3: `<prefix>/blobs/<id>`.
//!
//! What has at most [`PART_BYTES`] goes up in one call, what has more in parts of as much: an object appears whole or
//! not at all. It is read in pieces, each a call of its own that may be made again, so a connection that breaks costs
//! time and never wrong bytes, and a reader that does not read holds no connection. Objects have no other headers than
//! those the server needs, and none of a reading is looked at: what a server says of an encoding is passed to nobody.

mod calls;
mod failure;
#[cfg(test)]
mod fake;
mod owner;
mod probe;
mod raw;
#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
mod tests;
mod unfinished;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use micro_s3::Http;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{BackoffConfig, GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig};
use tokio_util::task::AbortOnDropHandle;

use super::{CHUNK_BYTES_MAX, Chunks, Error, Found, ObjectId, Objects, Sink};
use calls::Calls;
use failure::{Failure, failed};
use raw::Raw;
use upload::Upload;

/// Bytes of one part, and most that go up in one call.
const PART_BYTES: usize = 8 << 20;
/// Bytes that one call reads.
const PIECE_BYTES: usize = CHUNK_BYTES_MAX;
/// Most that one answer of a list holds, by the protocol.
const LIST_MAX: usize = 1_000;
/// How often a call that may be made twice is made again.
const RETRIES: usize = 5;

/// What the server is given to check what arrives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum S3Checksum {
    /// The SHA-256 that is part of each call's signature. Every server checks it.
    #[default]
    WhenRequired,
    /// Also a SHA-256 that the server keeps with the object. Some servers refuse it.
    Sha256,
}

/// Where the bucket is, and the bounds of what goes there.
#[derive(Clone)]
pub struct S3Config {
    /// `https://host` or `http://host:port`. The bucket is named in the path.
    pub address: String,
    /// The bucket, which must be there.
    pub bucket: String,
    /// What the server calls its region.
    pub region: String,
    /// The access key's id.
    pub key: String,
    /// The access key's secret.
    pub secret: String,
    /// What the names of all objects begin with: 1 to 64 of `a-z0-9_-`. Platforms that share a bucket have one each: what
    /// lies there without belonging to a blob is removed.
    pub prefix: String,
    /// Which platform that is: up to 256 bytes that never change. The first to come has the prefix, others are refused.
    pub owner: String,
    /// What the server is given to check what arrives.
    pub checksum: S3Checksum,
    /// Calls under way at once, of which each has a connection; more wait.
    pub calls_max: usize,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long one try of a call may take; a second more for each 256 KiB that it sends.
    pub try_timeout: Duration,
    /// How long a call may wait for its turn, and how long it may take in all once it has it; a second more for each
    /// 256 KiB that it sends.
    pub call_timeout: Duration,
}

impl S3Config {
    /// The defaults: region `us-east-1`, prefix `micro`, no owner's name, 64 calls, 3 s for a connection, 10 s a try, 20 s a call.
    pub fn new(address: impl Into<String>, bucket: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            bucket: bucket.into(),
            region: "us-east-1".to_owned(),
            key: String::new(),
            secret: String::new(),
            prefix: "micro".to_owned(),
            owner: String::new(),
            checksum: S3Checksum::default(),
            calls_max: 64,
            connect_timeout: Duration::from_secs(3),
            try_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(20),
        }
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |text: String| Err(Error::Backend(text));
        let named = (1..=64).contains(&self.prefix.len())
            && self.prefix.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if !named {
            return wrong(format!("`{}` is no prefix for objects in S3", self.prefix));
        }
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
        if !(3..=63).contains(&self.bucket.len()) || !self.bucket.bytes().all(is_plain) {
            return wrong(format!("`{}` is no name of a bucket", self.bucket));
        }
        if self.key.is_empty() || self.secret.is_empty() {
            return wrong("there is no access key, or it has no secret".to_owned());
        }
        // They become part of a header.
        let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if ![&self.key, &self.secret, &self.region].into_iter().all(|text| is_visible(text)) {
            return wrong("the access key, its secret or the region has characters that none has".to_owned());
        }
        Ok(())
    }
}

impl std::fmt::Debug for S3Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Config")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A bucket, or its part that this platform has.
pub struct S3(Arc<Bucket>);

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What lies below holds the secret.
        f.debug_struct("S3").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

struct Bucket {
    calls: Calls,
    store: AmazonS3,
    raw: Raw,
    /// What the names of objects begin with, `<prefix>/blobs/`.
    folder: String,
}

impl S3 {
    /// Connects, and tries everything that blobs need on an object that is removed again. Warns by `tracing` of what
    /// this server does not do.
    ///
    /// # Errors
    /// [`Error::Backend`] when it cannot be reached, the bucket is not there, the key may not list, read, write and
    /// delete, or the prefix has another owner.
    pub async fn open(config: &S3Config) -> Result<Self, Error> {
        config.check()?;
        let address = raw::address(&config.address)?;
        let http = Http::new(config.connect_timeout, config.try_timeout).map_err(Error::Backend)?;
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_secs(2),
                base: 2.0,
            },
            max_retries: RETRIES,
            retry_timeout: config.call_timeout,
        };
        let mut builder = AmazonS3Builder::new()
            .with_endpoint(address.as_str().trim_end_matches('/'))
            .with_allow_http(true)
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_access_key_id(&config.key)
            .with_secret_access_key(&config.secret)
            .with_http_connector(http.clone())
            .with_disable_bulk_delete(true)
            .with_disable_tagging(true)
            .with_retry(retry);
        if config.checksum == S3Checksum::Sha256 {
            builder = builder.with_checksum_algorithm(Checksum::SHA256);
        }
        let bucket = Arc::new(Bucket {
            calls: Calls::new(config.calls_max, config.call_timeout),
            store: builder.build().map_err(failed("set S3 up"))?,
            raw: Raw::new(http, address, config),
            folder: format!("{}/blobs/", config.prefix),
        });
        probe::run(&bucket, config).await?;
        Ok(Self(bucket))
    }
}

impl Bucket {
    fn path(&self, id: &ObjectId) -> Path {
        Path::from(format!("{}{id}", self.folder))
    }

    /// The object that has this name, if one of ours has.
    fn id(&self, name: &str) -> Option<ObjectId> {
        ObjectId::parse(name.strip_prefix(&self.folder)?)
    }

    async fn put(&self, path: &Path, bytes: Bytes) -> Result<(), Error> {
        let (length, put) = (bytes.len(), self.store.put(path, bytes.into()));
        self.calls.make(length, put).await?.map(drop).map_err(failed("put an object"))
    }

    /// At most `length` bytes from `offset` on; none behind the end.
    async fn piece(&self, path: &Path, offset: u64, length: usize) -> Result<Bytes, Error> {
        if length == 0 {
            return self.size(path).await.map(|_| Bytes::new());
        }
        let range = GetRange::Bounded(offset..offset.saturating_add(length as u64));
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        let get = async { self.store.get_opts(path, options).await?.bytes().await };
        match self.calls.make(0, get).await? {
            Ok(bytes) if bytes.len() <= length => Ok(bytes),
            Ok(bytes) => {
                Err(Error::Backend(format!("S3 gave {} bytes where {length} were asked for", bytes.len())))
            }
            Err(error) => match Failure::from(&error) {
                failure if failure.is_behind_the_end() => Ok(Bytes::new()),
                failure if failure.is_missing() => Err(Error::Missing),
                failure => Err(failure.doing("read an object")),
            },
        }
    }

    /// How many bytes an object has.
    async fn size(&self, path: &Path) -> Result<u64, Error> {
        match self.calls.make(0, self.store.head(path)).await? {
            Ok(found) => Ok(found.size),
            Err(error) => match Failure::from(&error) {
                failure if failure.is_missing() => Err(Error::Missing),
                failure => Err(failure.doing("look at an object")),
            },
        }
    }

    async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.calls.make(0, self.store.delete(path)).await? {
            Ok(()) => Ok(()),
            Err(error) => match Failure::from(&error) {
                failure if failure.is_missing() => Ok(()),
                failure => Err(failure.doing("delete an object")),
            },
        }
    }

    /// One answer of the server: objects after a name, and what the next answer is asked by.
    async fn page(
        &self,
        after: Option<String>,
        token: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Found>, Option<String>), Error> {
        let options = PaginatedListOptions {
            offset: after,
            max_keys: Some(limit.clamp(1, LIST_MAX)),
            page_token: token,
            ..PaginatedListOptions::default()
        };
        let page = self.calls.make(0, self.store.list_paginated(Some(&self.folder), options));
        let page = page.await?.map_err(failed("list objects"))?;
        let found = page.result.objects.into_iter().filter_map(|object| {
            let finished_ms = u64::try_from(object.last_modified.timestamp_millis()).unwrap_or(0);
            Some(Found { id: self.id(object.location.as_ref())?, finished_ms })
        });
        Ok((found.collect(), page.page_token))
    }
}

/// What is left of a reading.
struct Pieces {
    bucket: Arc<Bucket>,
    path: Path,
    offset: u64,
    left: u64,
}

impl Pieces {
    /// None behind the end.
    async fn next(&mut self) -> Result<Bytes, Error> {
        let piece = self.bucket.piece(&self.path, self.offset, piece_length(self.left)).await?;
        self.offset += piece.len() as u64;
        self.left -= piece.len() as u64;
        Ok(piece)
    }
}

fn piece_length(left: u64) -> usize {
    usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)
}

#[async_trait]
impl Objects for S3 {
    async fn create(&self, id: &ObjectId) -> Result<Box<dyn Sink>, Error> {
        Ok(Box::new(Upload::new(Arc::clone(&self.0), self.0.path(id))))
    }

    async fn read(&self, id: &ObjectId, offset: u64, length: u64) -> Result<Chunks, Error> {
        let (bucket, path) = (Arc::clone(&self.0), self.0.path(id));
        // Now, so that a missing object is known before anything is read.
        let first = bucket.piece(&path, offset, piece_length(length)).await?;
        let read = first.len() as u64;
        let pieces = Pieces { bucket, path, offset: offset.saturating_add(read), left: length - read };
        let rest = stream::try_unfold(pieces, |mut pieces| async move {
            if pieces.left == 0 {
                return Ok(None);
            }
            // A task, since a reader that stops waiting keeps this: what is not polled would keep its turn for ever.
            let read = tokio::spawn(async move { (pieces.next().await, pieces) });
            let read = AbortOnDropHandle::new(read).await;
            let (piece, pieces) = read.map_err(|error| Error::Backend(error.to_string()))?;
            let piece = piece?;
            Ok((!piece.is_empty()).then_some((piece, pieces)))
        });
        let first = (!first.is_empty()).then_some(Ok(first));
        Ok(stream::iter(first).chain(rest).boxed())
    }

    async fn delete(&self, id: &ObjectId) -> Result<(), Error> {
        self.0.delete(&self.0.path(id)).await
    }

    async fn list(&self, after: Option<&ObjectId>, limit: usize) -> Result<Vec<Found>, Error> {
        let after = after.map(|id| format!("{}{id}", self.0.folder));
        let (mut found, mut token) = (Vec::new(), None);
        // An answer may hold fewer than were asked for, and names that are not ours.
        while found.len() < limit {
            let (page, next) = self.0.page(after.clone(), token, limit - found.len()).await?;
            found.extend(page);
            token = next;
            if token.is_none() {
                break;
            }
        }
        Ok(found)
    }

    async fn clear_unfinished(&self, before_ms: u64) -> Result<usize, Error> {
        unfinished::clear(&self.0, before_ms).await
    }

    async fn check(&self) -> Result<(), Error> {
        self.0.page(None, None, 1).await.map(drop)
    }
}
