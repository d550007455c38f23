//! Blobs in memory.

use crate::Error;
use crate::blob::Info;
use crate::test::{check_blob_key, with_state};

pub(crate) async fn blob_create(
    key: String,
    content_type: String,
    digest: Option<String>,
    public: bool,
) -> Result<u64, Error> {
    with_state(|state| state.blobs.create(key, content_type, digest, public))
}

pub(crate) async fn blob_write(handle: u64, chunk: Vec<u8>) -> Result<(), Error> {
    with_state(|state| state.blobs.write(handle, &chunk))
}

pub(crate) async fn blob_finish(handle: u64) -> Result<Info, Error> {
    with_state(|state| state.blobs.finish(handle))
}

pub(crate) async fn blob_open(key: String, offset: u64, length: Option<u64>) -> Result<u64, Error> {
    with_state(|state| state.blobs.open(&key, offset, length))
}

pub(crate) async fn blob_read(handle: u64, max: u32) -> Result<Vec<u8>, Error> {
    with_state(|state| state.blobs.read(handle, max))
}

pub(crate) fn blob_close(handle: u64) {
    with_state(|state| state.blobs.close(handle));
}

pub(crate) async fn blob_stat(key: String) -> Result<Option<Info>, Error> {
    check_blob_key(&key)?;
    Ok(with_state(|state| state.blobs.stat(&key)))
}

pub(crate) async fn blob_url(key: String, expires_in: Option<u32>) -> Result<String, Error> {
    check_blob_key(&key)?;
    with_state(|state| state.blobs.url(&key, expires_in))
}

pub(crate) async fn blob_delete(key: String) -> Result<(), Error> {
    check_blob_key(&key)?;
    with_state(|state| state.blobs.delete(&key));
    Ok(())
}

pub(crate) async fn blob_list(prefix: String, after: Option<String>, limit: u32) -> Result<Vec<Info>, Error> {
    Ok(with_state(|state| state.blobs.list(&prefix, after.as_deref(), limit)))
}
