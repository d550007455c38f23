//! Bytes on their way from a stream to a blob.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use micro_api::Error;
use tokio_util::task::AbortOnDropHandle;

use crate::Handle;
use crate::blob::host::ID;
use crate::blob::{BlobKey, Error as Blob, New, Writing};

/// Bytes that are gathered before they are sent; while they are, no more are taken. A chunk of a blob may be four times
/// as long.
pub(super) const BUFFER_BYTES: usize = 256 << 10;

/// What was written of a value. Nobody sees a byte of it before its end, so a flush has nothing to hurry, and the small
/// writes of `blocking-write-and-flush` go on together.
#[derive(Default)]
pub(in crate::blob) struct Sending {
    /// Where it is to lie, once that was said.
    pub(super) target: Option<BlobKey>,
    buffer: BytesMut,
    /// The upload, unless it is in flight or did not begin.
    writing: Option<Box<Writing>>,
    /// What is being sent. It outlives those who wait for it, as a write that was cut short could not be done again.
    flight: Option<BoxFuture<'static, Result<Box<Writing>, Blob>>>,
    failed: Option<Error>,
}

impl fmt::Debug for Sending {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Sending")
            .field("target", &self.target)
            .field("writing", &self.writing)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Sending {
    pub(super) fn to(target: Option<BlobKey>) -> Self {
        Self { target, ..Self::default() }
    }

    /// Bytes that may be written now; none: it is to be waited for.
    ///
    /// # Errors
    /// What went wrong.
    pub(super) fn room(&self) -> Result<usize, Error> {
        match (&self.failed, &self.flight) {
            (Some(error), _) => Err(error.clone()),
            (None, Some(_)) => Ok(0),
            (None, None) => Ok(BUFFER_BYTES.saturating_sub(self.buffer.len())),
        }
    }

    /// Takes bytes, no more than there is room for.
    pub(super) fn put(&mut self, bytes: &Bytes) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Waits until there is room, or it failed. Whoever stops waiting loses nothing.
    pub(super) async fn make_room(&mut self, handle: &Handle) {
        if self.room() == Ok(0) {
            self.send(handle).await;
        }
    }

    /// Sends what is buffered, or is on its way already.
    async fn send(&mut self, handle: &Handle) {
        if self.flight.is_none() {
            self.launch(handle);
        }
        let Some(flight) = &mut self.flight else { return };
        let sent = handle.bounded(ID, async { Ok(flight.await?) }).await;
        self.flight = None;
        match sent {
            Ok(writing) => self.writing = Some(writing),
            Err(error) => self.failed = Some(error),
        }
    }

    fn launch(&mut self, handle: &Handle) {
        let chunk = self.buffer.split().freeze();
        let (blobs, shelf) = (Arc::clone(&handle.guest.capabilities.blobs), handle.blob_shelf());
        let (writing, target) = (self.writing.take(), self.target.clone());
        let flight = async move {
            let mut writing = match (writing, target) {
                (Some(writing), _) => writing,
                (None, Some(key)) => Box::new(blobs.create(key, New::default()).await?),
                (None, None) => Box::new(blobs.create_unnamed(&shelf).await?),
            };
            if !chunk.is_empty() {
                writing.write(chunk).await?;
            }
            Ok(writing)
        };
        // A task, since whoever stops waiting keeps this: what is not polled would keep what it has taken for ever.
        let flight = AbortOnDropHandle::new(tokio::spawn(flight));
        let landed = flight.map(|done| done.unwrap_or_else(|error| Err(Blob::Backend(error.to_string()))));
        self.flight = Some(landed.boxed());
    }

    /// Sends the rest, and puts the blob in place of what is there.
    ///
    /// # Errors
    /// What went wrong, now or before; then what was there stays.
    pub(super) async fn finish(mut self: Box<Self>, handle: &Handle) -> Result<(), Error> {
        let target = self.target.clone();
        let target = target.ok_or_else(|| {
            Error::bad_request(ID, "write-data gave this value to no object: it is dropped")
        })?;
        // An empty value begins here.
        while self.failed.is_none() && (self.writing.is_none() || !self.buffer.is_empty()) {
            self.send(handle).await;
        }
        if let Some(error) = self.failed {
            return Err(error);
        }
        let Some(mut writing) = self.writing else { return Err(Blob::Handle.into()) };
        writing.key = target;
        handle.bounded(ID, async { Ok(writing.finish().await?) }).await.map(drop)
    }
}
