//! Values that are written: `outgoing-value`, and its stream.

use bytes::Bytes;
use micro_api::Error;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::{Resource, ResourceTableError};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynOutputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::lent::Lent;
use super::sending::Sending;
use super::types::HostOutgoingValue;
use super::{Answer, Caller, said};
use crate::Handle;
use crate::blob::handles::Open;
use crate::blob::host::ID;
use crate::blob::{BlobKey, Error as Blob};

/// A value that is written, and where it is to lie. `write-data` may come before its bytes or after them; the object is
/// there once `finish` has returned, and not at all where that never comes.
#[derive(Debug)]
pub struct Outgoing {
    /// What was written to its stream, which is one of the instance's open blobs; none before there is a stream.
    number: Option<u64>,
    target: Option<BlobKey>,
    _place: OwnedSemaphorePermit,
}

impl Outgoing {
    /// Says where it is to lie.
    ///
    /// # Errors
    /// 400 when another place was said before, or its bytes are gone with the call that wrote them.
    pub(super) fn aim(&mut self, handle: &Handle, key: BlobKey) -> Result<(), Error> {
        if self.target.as_ref().is_some_and(|before| *before != key) {
            return Err(Error::bad_request(ID, "write-data gave this value to another object already"));
        }
        if let Some(number) = self.number {
            let mut lent = Lent::take(&handle.blobs, number)?;
            let Some(Open::Sending(sending)) = lent.open() else { return Err(Blob::Handle.into()) };
            sending.target = Some(key.clone());
        }
        self.target = Some(key);
        Ok(())
    }
}

impl Handle {
    async fn value_finish(&self, value: Outgoing) -> Result<(), Error> {
        let Some(number) = value.number else {
            return Box::new(Sending::to(value.target)).finish(self).await;
        };
        let (_held, open) = self.blobs.hold(number)?;
        let Open::Sending(sending) = open else { return Err(Blob::Handle.into()) };
        sending.finish(self).await
    }
}

impl HostOutgoingValue for Caller<'_> {
    /// It can tell of no error, so an instance that has too many resources ends here.
    async fn new_outgoing_value(&mut self) -> wasmtime::Result<Resource<Outgoing>> {
        let place = self.ctx.blobstore.take().map_err(|_| ResourceTableError::Full)?;
        Ok(self.table.push(Outgoing { number: None, target: None, _place: place })?)
    }

    async fn outgoing_value_write_body(
        &mut self,
        this: Resource<Outgoing>,
    ) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        let handle = self.handle();
        let value = self.table.get_mut(&this)?;
        if value.number.is_some() {
            return Ok(Err(()));
        }
        let Ok(held) = handle.blobs.reserve() else { return Ok(Err(())) };
        let number = held.keep(Open::Sending(Box::new(Sending::to(value.target.clone()))));
        value.number = Some(number);
        let stream = Box::new(Output { handle, number }) as DynOutputStream;
        // A child: the value cannot end before its stream, as the draft has it.
        Ok(Ok(self.table.push_child(stream, &this)?))
    }

    async fn finish(&mut self, this: Resource<Outgoing>) -> Answer<()> {
        let value = self.table.delete(this)?;
        Ok(self.handle().value_finish(value).await.map_err(said))
    }

    async fn drop(&mut self, this: Resource<Outgoing>) -> wasmtime::Result<()> {
        let value = self.table.delete(this)?;
        if let Some(number) = value.number {
            self.ctx.blobs.close(number);
        }
        Ok(())
    }
}

/// A value as a stream. Its bytes lie in the table of handles, and end with the call that wrote them.
#[derive(Debug)]
struct Output {
    handle: Handle,
    number: u64,
}

fn failed(error: impl Into<Error>) -> StreamError {
    let text = said(error.into());
    StreamError::LastOperationFailed(wasmtime::format_err!("{text}"))
}

impl Output {
    fn lend(&self) -> StreamResult<Lent> {
        Lent::take(&self.handle.blobs, self.number).map_err(failed)
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        if let Ok(mut lent) = self.lend()
            && let Some(Open::Sending(sending)) = lent.open()
        {
            sending.make_room(&self.handle).await;
        }
    }
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut lent = self.lend()?;
        let Some(Open::Sending(sending)) = lent.open() else { return Err(StreamError::Closed) };
        if bytes.len() > sending.room().map_err(failed)? {
            return Err(StreamError::trap("more was written than check-write allowed"));
        }
        sending.put(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check_write().map(drop)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let mut lent = self.lend()?;
        let Some(Open::Sending(sending)) = lent.open() else { return Err(StreamError::Closed) };
        sending.room().map_err(failed)
    }
}
