//! The `blob` import.

use bytes::Bytes;
use micro_api::Error;
use wasmtime::component::Accessor;

use super::handles::Open;
use super::{BlobKey, CHUNK_BYTES_MAX, Error as Blob, Listed, New, PAGE_ROWS_MAX, Row, Shelf, Writing};
use crate::bindings::platform::micro::platform::{blob as wit, types};
use crate::bindings::platform_sync::micro::platform_sync::{blob as wit_sync, types as types_sync};
use crate::ctx::{optional, waits};
use crate::{Ctx, Handle, HasCapability, View};

pub(super) const ID: &str = "go.micro.blob";

impl From<Blob> for Error {
    fn from(error: Blob) -> Self {
        match error {
            Blob::Key
            | Blob::Service
            | Blob::ContentType
            | Blob::Chunk
            | Blob::DigestText
            | Blob::Digest
            | Blob::Handle
            | Blob::UrlTime
            | Blob::Private
            | Blob::NoUrl
            | Blob::Read => Self::bad_request(ID, error.to_string()),
            Blob::Missing => Self::not_found(ID, error.to_string()),
            Blob::Size(_) => Self::new(ID, 413, error.to_string()),
            Blob::Range(_) => Self::new(ID, 416, error.to_string()),
            Blob::Quota(_) => Self::forbidden(ID, error.to_string()),
            Blob::Busy | Blob::Handles => Self::new(ID, 429, error.to_string()),
            Blob::Damaged => Self::internal(ID, error.to_string()),
            Blob::Backend(_) => {
                tracing::error!(%error, "A blob call failed");
                Self::internal(ID, "the blobs failed; their operator finds the reason in the server's log")
            }
        }
    }
}

/// A digest from its text.
pub(super) fn digest(text: &str) -> Result<[u8; 32], Blob> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).map_err(|_| Blob::DigestText)?;
    Ok(digest)
}

impl Handle {
    pub(super) fn blob_shelf(&self) -> Shelf {
        Shelf::own(&self.guest.scope)
    }

    fn blob_key(&self, key: &str) -> Result<BlobKey, Blob> {
        self.blob_shelf().key(key)
    }

    async fn blob_create(&self, key: &str, new: New) -> Result<u64, Error> {
        let (blobs, key) = (&self.guest.capabilities.blobs, self.blob_key(key)?);
        let held = self.blobs.reserve()?;
        let writing = self.bounded(ID, async { Ok(blobs.create(key, new).await?) }).await?;
        Ok(held.keep(Open::Writing(Box::new(writing))))
    }

    async fn blob_write(&self, number: u64, chunk: Vec<u8>) -> Result<(), Error> {
        let (held, open) = self.blobs.hold(number)?;
        let mut writing = writing(open)?;
        self.bounded(ID, async { Ok(writing.write(Bytes::from(chunk)).await?) }).await?;
        held.keep(Open::Writing(writing));
        Ok(())
    }

    async fn blob_finish(&self, number: u64) -> Result<Listed, Error> {
        let (_held, open) = self.blobs.hold(number)?;
        let writing = writing(open)?;
        let key = writing.key.key().to_owned();
        let row = self.bounded(ID, async { Ok(writing.finish().await?) }).await?;
        Ok(Listed { key, row })
    }

    async fn blob_open(&self, key: &str, offset: u64, length: Option<u64>) -> Result<u64, Error> {
        let (blobs, key) = (&self.guest.capabilities.blobs, self.blob_key(key)?);
        let held = self.blobs.reserve()?;
        let reading = self.bounded(ID, async { Ok(blobs.open(&key, offset, length).await?) }).await?;
        Ok(held.keep(Open::Reading(Box::new(reading), Bytes::new())))
    }

    async fn blob_read(&self, number: u64, max: u32) -> Result<Vec<u8>, Error> {
        let (held, open) = self.blobs.hold(number)?;
        let Open::Reading(mut reading, mut rest) = open else { return Err(Blob::Handle.into()) };
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX);
        if max == 0 {
            held.keep(Open::Reading(reading, rest));
            return Err(Blob::Read.into());
        }
        while rest.is_empty() {
            let next = self.bounded(ID, async { Ok(reading.next().await?) }).await?;
            let Some(next) = next else { break };
            rest = next;
        }
        let given = rest.split_to(max.min(rest.len())).to_vec();
        held.keep(Open::Reading(reading, rest));
        Ok(given)
    }

    pub(super) async fn blob_stat(&self, key: &str) -> Result<Option<Listed>, Error> {
        let (blobs, key) = (&self.guest.capabilities.blobs, self.blob_key(key)?);
        let found = self.bounded(ID, async {
            match blobs.stat(&key).await {
                Ok(row) => Ok(Some(row)),
                Err(Blob::Missing) => Ok(None),
                Err(error) => Err(error.into()),
            }
        });
        Ok(found.await?.map(|row| Listed { key: key.key().to_owned(), row }))
    }

    pub(super) async fn blob_delete(&self, key: &str) -> Result<(), Error> {
        let (blobs, key) = (&self.guest.capabilities.blobs, self.blob_key(key)?);
        self.bounded(ID, async { Ok(blobs.delete(&key).await?) }).await
    }

    async fn blob_url(&self, key: &str, expires_in: Option<u32>) -> Result<String, Error> {
        let (blobs, key) = (&self.guest.capabilities.blobs, self.blob_key(key)?);
        let link = self.bounded(ID, async { Ok(blobs.url(&key, expires_in.map(u64::from)).await?) });
        Ok(link.await?.url)
    }

    pub(super) async fn blob_list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Listed>, Error> {
        let (blobs, shelf) = (&self.guest.capabilities.blobs, self.blob_shelf());
        let limit = usize::try_from(limit).unwrap_or(PAGE_ROWS_MAX);
        self.bounded(ID, async { Ok(blobs.list(&shelf, prefix, after, limit).await?) }).await
    }
}

fn writing(open: Open) -> Result<Box<Writing>, Blob> {
    match open {
        Open::Writing(writing) => Ok(writing),
        Open::Reading(..) | Open::Sending(_) => Err(Blob::Handle),
    }
}

fn new(content_type: String, digest_text: Option<String>, public: bool) -> Result<New, Error> {
    let digest = digest_text.as_deref().map(digest).transpose()?;
    Ok(New { content_type, public, digest })
}

macro_rules! info_conversion {
    ($wit:path) => {
        impl From<Listed> for $wit {
            fn from(listed: Listed) -> Self {
                let Row { size, content_type, digest, public, changed_ms, .. } = listed.row;
                let digest = hex::encode(digest);
                Self { key: listed.key, size, content_type, digest, public, changed: changed_ms }
            }
        }
    };
}
info_conversion!(wit::Info);
info_conversion!(wit_sync::Info);

type Answer<R, E> = wasmtime::Result<Result<R, E>>;

impl<T: View> wit::HostWithStore<T> for HasCapability {
    async fn create(
        store: &Accessor<T, Self>,
        key: String,
        content_type: String,
        digest: Option<String>,
        public: bool,
    ) -> Answer<u64, types::Error> {
        let bytes = key.len() + content_type.len() + optional(digest.as_ref());
        waits(store, ID, bytes, |handle| async move {
            handle.blob_create(&key, new(content_type, digest, public)?).await
        })
        .await
    }

    async fn write(store: &Accessor<T, Self>, number: u64, chunk: Vec<u8>) -> Answer<(), types::Error> {
        waits(store, ID, chunk.len(), |handle| async move { handle.blob_write(number, chunk).await }).await
    }

    async fn finish(store: &Accessor<T, Self>, number: u64) -> Answer<wit::Info, types::Error> {
        waits(store, ID, 0, |handle| async move { Ok(handle.blob_finish(number).await?.into()) }).await
    }

    async fn open(
        store: &Accessor<T, Self>,
        key: String,
        offset: u64,
        length: Option<u64>,
    ) -> Answer<u64, types::Error> {
        waits(store, ID, key.len(), |handle| async move { handle.blob_open(&key, offset, length).await })
            .await
    }

    async fn read(store: &Accessor<T, Self>, number: u64, max: u32) -> Answer<Vec<u8>, types::Error> {
        waits(store, ID, 0, |handle| async move { handle.blob_read(number, max).await }).await
    }

    async fn stat(store: &Accessor<T, Self>, key: String) -> Answer<Option<wit::Info>, types::Error> {
        waits(store, ID, key.len(), |handle| async move { Ok(handle.blob_stat(&key).await?.map(Into::into)) })
            .await
    }

    async fn delete(store: &Accessor<T, Self>, key: String) -> Answer<(), types::Error> {
        waits(store, ID, key.len(), |handle| async move { handle.blob_delete(&key).await }).await
    }

    async fn url(
        store: &Accessor<T, Self>,
        key: String,
        expires_in: Option<u32>,
    ) -> Answer<String, types::Error> {
        waits(store, ID, key.len(), |handle| async move { handle.blob_url(&key, expires_in).await }).await
    }

    async fn list(
        store: &Accessor<T, Self>,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Answer<Vec<wit::Info>, types::Error> {
        let bytes = prefix.len() + optional(after.as_ref());
        waits(store, ID, bytes, |handle| async move {
            let page = handle.blob_list(&prefix, after.as_deref(), limit).await?;
            Ok(page.into_iter().map(Into::into).collect())
        })
        .await
    }
}

impl wit::Host for Ctx {
    fn close(&mut self, number: u64) -> wasmtime::Result<()> {
        self.blobs.close(number);
        Ok(())
    }
}

impl wit_sync::Host for Ctx {
    async fn create(
        &mut self,
        key: String,
        content_type: String,
        digest: Option<String>,
        public: bool,
    ) -> Answer<u64, types_sync::Error> {
        let handle = self.handle();
        let created = async { handle.blob_create(&key, new(content_type, digest, public)?).await };
        Ok(created.await.map_err(Into::into))
    }

    async fn write(&mut self, number: u64, chunk: Vec<u8>) -> Answer<(), types_sync::Error> {
        Ok(self.handle().blob_write(number, chunk).await.map_err(Into::into))
    }

    async fn finish(&mut self, number: u64) -> Answer<wit_sync::Info, types_sync::Error> {
        Ok(self.handle().blob_finish(number).await.map(Into::into).map_err(Into::into))
    }

    async fn open(
        &mut self,
        key: String,
        offset: u64,
        length: Option<u64>,
    ) -> Answer<u64, types_sync::Error> {
        Ok(self.handle().blob_open(&key, offset, length).await.map_err(Into::into))
    }

    async fn read(&mut self, number: u64, max: u32) -> Answer<Vec<u8>, types_sync::Error> {
        Ok(self.handle().blob_read(number, max).await.map_err(Into::into))
    }

    async fn close(&mut self, number: u64) -> wasmtime::Result<()> {
        self.blobs.close(number);
        Ok(())
    }

    async fn stat(&mut self, key: String) -> Answer<Option<wit_sync::Info>, types_sync::Error> {
        let found = self.handle().blob_stat(&key).await;
        Ok(found.map(|found| found.map(Into::into)).map_err(Into::into))
    }

    async fn delete(&mut self, key: String) -> Answer<(), types_sync::Error> {
        Ok(self.handle().blob_delete(&key).await.map_err(Into::into))
    }

    async fn url(&mut self, key: String, expires_in: Option<u32>) -> Answer<String, types_sync::Error> {
        Ok(self.handle().blob_url(&key, expires_in).await.map_err(Into::into))
    }

    async fn list(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Answer<Vec<wit_sync::Info>, types_sync::Error> {
        let listed = self.handle().blob_list(&prefix, after.as_deref(), limit).await;
        Ok(listed.map(|page| page.into_iter().map(Into::into).collect()).map_err(Into::into))
    }
}

#[cfg(test)]
mod tests;
