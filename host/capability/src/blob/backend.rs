//! Where the bytes lie. `contract` is the suite that each backend passes.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// Most bytes of one chunk that is written or read.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// A random name for bytes; says nothing of whose they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(String);

impl ObjectId {
    /// One that was never used.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    /// From its text: 32 lower-case hexadecimal digits; none for any other.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a key.
    #[error("a blob's key has 1 to 1024 bytes of UTF-8 and no control characters")]
    Key,
    /// Not a service's name.
    #[error("a service's name has 1 to 256 bytes and no control characters")]
    Service,
    /// Not a content type.
    #[error("a content type has at most 255 visible ASCII characters")]
    ContentType,
    /// No such blob.
    #[error("not found")]
    Missing,
    /// A chunk is too long.
    #[error("a chunk has at most {CHUNK_BYTES_MAX} bytes")]
    Chunk,
    /// The blob is longer than the platform takes.
    #[error("a blob has at most {0} bytes")]
    Size(u64),
    /// The bytes are not those that the digest was given for; nothing is kept.
    #[error("the bytes do not have the digest that was given")]
    Digest,
    /// Not a digest.
    #[error("a digest is a SHA-256 in 64 hexadecimal digits")]
    DigestText,
    /// Not an open handle of this kind, or another call is at work on it.
    #[error("this handle is not open for that, or in use")]
    Handle,
    /// As many handles are open as an instance may have.
    #[error("an instance has at most {} blobs open at once: close some", super::HANDLES_MAX)]
    Handles,
    /// A read of no bytes.
    #[error("read at least one byte at once")]
    Read,
    /// The range begins behind the end of the blob, whose size this is.
    #[error("the blob has {0} bytes")]
    Range(u64),
    /// A URL is asked for, for longer than there is one, or for no time.
    #[error("a URL is signed for 1 to {} seconds, which are 7 days", super::URL_TIME_MAX_S)]
    UrlTime,
    /// A URL without a signature is asked for, of a blob that nobody may read by it.
    #[error(
        "this blob is not public: say for how long its URL is to be signed, or put it anew as a public one"
    )]
    Private,
    /// What the blob or its service is called stands in no URL.
    #[error(
        "a blob has a URL if its service has a service's name (letters and digits, joined by single hyphens and \
         dots) and its own is neither `.` nor `..`"
    )]
    NoUrl,
    /// The namespace's plan allows no more.
    #[error(
        "limit: blob_bytes: the plan of this namespace allows {0} bytes of blobs: delete some, or ask the operator \
         for a larger plan"
    )]
    Quota(u64),
    /// As many uploads, or calls to the backend, run as may.
    #[error("too many uploads or reads at once: try again")]
    Busy,
    /// What was read is not what was written.
    #[error("the blob is damaged")]
    Damaged,
    /// The backend failed; the text is for the operator.
    #[error("blob backend: {0}")]
    Backend(String),
}

/// Bytes in order, each chunk at most [`CHUNK_BYTES_MAX`].
pub type Chunks = BoxStream<'static, Result<Bytes, Error>>;

/// An object that lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub id: ObjectId,
    /// When it was finished, Unix milliseconds.
    pub finished_ms: u64,
}

/// An object that is being written. Dropping it before [`Sink::finish`] leaves nothing that can be read.
#[async_trait]
pub trait Sink: Send {
    /// Appends; at most [`CHUNK_BYTES_MAX`].
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error>;

    /// Makes it readable, whole. Once this returns it survives a crash, unless the backend is in memory.
    async fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// Objects: written once, read often.
#[async_trait]
pub trait Objects: Send + Sync + 'static {
    /// Begins an object under a new id.
    async fn create(&self, id: &ObjectId) -> Result<Box<dyn Sink>, Error>;

    /// At most `length` bytes from `offset` on, fewer when the object ends before.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none.
    async fn read(&self, id: &ObjectId, offset: u64, length: u64) -> Result<Chunks, Error>;

    /// Removes; a missing one is no error. Who reads it may see it end with an error.
    async fn delete(&self, id: &ObjectId) -> Result<(), Error>;

    /// Finished objects in the order of their ids, after one that need not exist; fewer than `limit` only at the end.
    async fn list(&self, after: Option<&ObjectId>, limit: usize) -> Result<Vec<Found>, Error>;

    /// Removes what uploads left that were last written to before `before_ms`, and says how many.
    async fn clear_unfinished(&self, before_ms: u64) -> Result<usize, Error>;

    /// Whether the backend works now.
    async fn check(&self) -> Result<(), Error>;
}
