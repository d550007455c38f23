//! Blobs of the platform.

use std::time::{Duration, UNIX_EPOCH};

use crate::Error;
use crate::bindings::service::micro::platform::blob;
use crate::blob::Info;

impl From<blob::Info> for Info {
    fn from(info: blob::Info) -> Self {
        Self {
            key: info.key,
            size: info.size,
            content_type: info.content_type,
            digest: info.digest,
            public: info.public,
            changed: UNIX_EPOCH + Duration::from_millis(info.changed),
        }
    }
}

pub(crate) async fn blob_create(
    key: String,
    content_type: String,
    digest: Option<String>,
    public: bool,
) -> Result<u64, Error> {
    Ok(blob::create(key, content_type, digest, public).await?)
}

pub(crate) async fn blob_write(handle: u64, chunk: Vec<u8>) -> Result<(), Error> {
    Ok(blob::write(handle, chunk).await?)
}

pub(crate) async fn blob_finish(handle: u64) -> Result<Info, Error> {
    Ok(blob::finish(handle).await?.into())
}

pub(crate) async fn blob_open(key: String, offset: u64, length: Option<u64>) -> Result<u64, Error> {
    Ok(blob::open(key, offset, length).await?)
}

pub(crate) async fn blob_read(handle: u64, max: u32) -> Result<Vec<u8>, Error> {
    Ok(blob::read(handle, max).await?)
}

pub(crate) fn blob_close(handle: u64) {
    blob::close(handle);
}

pub(crate) async fn blob_stat(key: String) -> Result<Option<Info>, Error> {
    Ok(blob::stat(key).await?.map(Into::into))
}

pub(crate) async fn blob_url(key: String, expires_in: Option<u32>) -> Result<String, Error> {
    Ok(blob::url(key, expires_in).await?)
}

pub(crate) async fn blob_delete(key: String) -> Result<(), Error> {
    Ok(blob::delete(key).await?)
}

pub(crate) async fn blob_list(prefix: String, after: Option<String>, limit: u32) -> Result<Vec<Info>, Error> {
    Ok(blob::list(prefix, after, limit).await?.into_iter().map(Into::into).collect())
}
