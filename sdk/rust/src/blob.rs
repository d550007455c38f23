//! Files that outlive an instance, up to a gibibyte each. A service sees its own blobs only.
//!
//! They must be granted: `blob = true` under `[grants]` in `micro.toml`. A key has 1 to 1 024 bytes. What goes through
//! [`Writer`] and [`Reader`] never has to be in memory as a whole.
//!
//! ```
//! use micro_sdk::blob::{self, Reader};
//! # use micro_sdk::test::World;
//! # World::new().block_on(async {
//! blob::put("notes/today.txt", "Hi there").await?;
//! let mut writer = blob::create("copy").content_type("text/plain").begin().await?;
//! let mut reader = Reader::open("notes/today.txt").await?;
//! while let Some(chunk) = reader.next().await? {
//!     writer.write(&chunk).await?;
//! }
//! assert_eq!(writer.finish().await?.size, 8);
//! # Ok::<_, micro_sdk::Error>(())
//! # })?;
//! # Ok::<_, micro_sdk::Error>(())
//! ```

use std::time::{Duration, SystemTime};

use crate::{Error, host};

/// Bytes that are sent or asked for at once; the platform takes up to 1 MiB.
const CHUNK_BYTES: usize = 256 << 10;

/// What is known of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// As it was put.
    pub content_type: String,
    /// SHA-256 of the bytes, hexadecimal.
    pub digest: String,
    /// Whoever has its [`url`] may read it.
    pub public: bool,
    /// When the bytes were put.
    pub changed: SystemTime,
}

/// Puts `bytes` as the blob `key`, over what was there.
///
/// # Errors
/// 400 for what is no key, 403 when blobs are not granted or the plan's `blob_bytes` is used up, 429 when too many
/// uploads run at once.
pub async fn put(key: &str, bytes: impl AsRef<[u8]>) -> Result<Info, Error> {
    let mut writer = create(key).begin().await?;
    writer.write(bytes.as_ref()).await?;
    writer.finish().await
}

/// All bytes of a blob, which then are in the instance's memory; none when there is none.
///
/// # Errors
/// 403 when blobs are not granted, 500 when the bytes are not those that were put.
pub async fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    let mut reader = match Reader::open(key).await {
        Ok(reader) => reader,
        Err(error) if error.code == 404 => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// What is known of a blob; none when there is none.
///
/// # Errors
/// 403 when blobs are not granted, 400 for what is no key.
pub async fn stat(key: &str) -> Result<Option<Info>, Error> {
    host::blob_stat(key.to_owned()).await
}

/// Where the platform answers a blob without an account: an absolute URL. Without a time that of a public blob; with one
/// a URL that is signed for so long, 7 days at most, and opens whatever then lies under `key` to everybody who has it.
///
/// # Errors
/// 404 when there is no blob, 400 without a time when it is not public, for no or too long a time, and for keys that no
/// URL can have (`.` and `..`).
pub async fn url(key: &str, expires_in: Option<Duration>) -> Result<String, Error> {
    // Part of a second is one; more than fits is too long anyway.
    let whole = |time: Duration| time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    let seconds = expires_in.map(|time| u32::try_from(whole(time)).unwrap_or(u32::MAX));
    host::blob_url(key.to_owned(), seconds).await
}

/// Removes a blob; a missing one is no error.
///
/// # Errors
/// As [`stat`].
pub async fn delete(key: &str) -> Result<(), Error> {
    host::blob_delete(key.to_owned()).await
}

/// Blobs in the order of their keys' bytes that begin with `prefix` and come after `after`; at most `limit` and 1 000.
///
/// # Errors
/// As [`stat`].
pub async fn list(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Info>, Error> {
    host::blob_list(prefix.to_owned(), after.map(str::to_owned), limit).await
}

/// An open handle of the platform, closed when it is dropped.
#[derive(Debug)]
struct Handle(u64);

impl Drop for Handle {
    fn drop(&mut self) {
        host::blob_close(self.0);
    }
}

/// What puts the blob `key` chunk by chunk: [`Create::begin`] begins.
pub fn create(key: &str) -> Create {
    Create { key: key.to_owned(), ..Create::default() }
}

/// What a blob is to be.
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is put before it begins"]
pub struct Create {
    key: String,
    content_type: String,
    digest: Option<String>,
    public: bool,
}

impl Create {
    /// What it is, such as `image/png`; else `application/octet-stream`.
    pub fn content_type(mut self, content_type: &str) -> Self {
        content_type.clone_into(&mut self.content_type);
        self
    }

    /// The SHA-256 that the bytes must have, hexadecimal.
    pub fn digest(mut self, digest: &str) -> Self {
        self.digest = Some(digest.to_owned());
        self
    }

    /// Whoever has its [`url`] may read it, without an account.
    pub fn public(mut self, public: bool) -> Self {
        self.public = public;
        self
    }

    /// Begins to put it.
    ///
    /// # Errors
    /// As [`put`]; 429 also when the instance has 16 blobs open.
    pub async fn begin(self) -> Result<Writer, Error> {
        let handle = host::blob_create(self.key, self.content_type, self.digest, self.public).await?;
        Ok(Writer(Handle(handle)))
    }
}

/// A blob that is being put. Nobody sees it before [`Writer::finish`]; dropped before, nothing is kept.
#[derive(Debug)]
pub struct Writer(Handle);

impl Writer {
    /// Appends, whatever the length.
    ///
    /// # Errors
    /// 413 beyond 1 GiB, 403 beyond the plan's `blob_bytes`. The upload is over then.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for chunk in bytes.chunks(CHUNK_BYTES) {
            host::blob_write(self.0.0, chunk.to_vec()).await?;
        }
        Ok(())
    }

    /// Puts the blob in place of what is there.
    ///
    /// # Errors
    /// 400 when the bytes do not have the digest that was given, 403 beyond the plan's `blob_bytes`. The old blob then
    /// stays.
    pub async fn finish(self) -> Result<Info, Error> {
        host::blob_finish(self.0.0).await
    }
}

/// A blob that is being read: the one that was there when it was opened.
#[derive(Debug)]
pub struct Reader(Handle);

impl Reader {
    /// Reads all of it.
    ///
    /// # Errors
    /// 404 when there is none, 429 when the instance has 16 blobs open.
    pub async fn open(key: &str) -> Result<Self, Error> {
        Self::open_range(key, 0, None).await
    }

    /// Reads from `offset` on, to the end or at most `length` bytes.
    ///
    /// # Errors
    /// As [`Reader::open`]; 416 when the blob ends before `offset`.
    pub async fn open_range(key: &str, offset: u64, length: Option<u64>) -> Result<Self, Error> {
        Ok(Self(Handle(host::blob_open(key.to_owned(), offset, length).await?)))
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// 500 when the bytes are not those that were put: what came before is not to be trusted then.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        // Far less than a `u32` holds.
        let chunk = host::blob_read(self.0.0, CHUNK_BYTES as u32).await?;
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

#[cfg(test)]
mod tests;
