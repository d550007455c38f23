//! Values that are read: `incoming-value`, and its stream.

use bytes::Bytes;
use micro_api::Error;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynInputStream, InputStream, Pollable, StreamError, StreamResult};

use super::lent::Lent;
use super::name::Name;
use super::types::HostIncomingValue;
use super::{Answer, Caller, said};
use crate::Handle;
use crate::blob::Error as Blob;
use crate::blob::handles::Open;
use crate::blob::host::ID;

/// Most bytes that come as one list: what a message may have.
pub(super) const SYNC_BYTES_MAX: u64 = 4 << 20;

/// An object, or a part of one, that was opened. It is one of the instance's open blobs.
#[derive(Debug)]
pub struct Incoming {
    number: u64,
    size: u64,
    _place: OwnedSemaphorePermit,
}

impl Handle {
    /// All of a value, which is closed with it.
    async fn value_read(&self, number: u64, size: u64) -> Result<Vec<u8>, Error> {
        let (_held, open) = self.blobs.hold(number)?;
        let Open::Reading(mut reading, _) = open else { return Err(Blob::Handle.into()) };
        if size > SYNC_BYTES_MAX {
            let detail = format!(
                "limit: incoming-value-consume-sync: at most {SYNC_BYTES_MAX} bytes: use \
                 incoming-value-consume-async, or read it in parts"
            );
            return Err(Error::new(ID, 413, detail));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        let read = async {
            while let Some(chunk) = reading.next().await? {
                bytes.extend_from_slice(&chunk);
            }
            Ok(())
        };
        self.bounded(ID, read).await?;
        Ok(bytes)
    }
}

impl Caller<'_> {
    /// Opens the bytes from `start` to `end`, both included; an end behind the object's is the object's.
    pub(super) async fn value_open(
        &mut self,
        name: &Name,
        object: &str,
        start: u64,
        end: u64,
    ) -> Result<Incoming, Error> {
        let handle = self.handle();
        let key = name.object(&handle.blob_shelf(), object)?;
        let length = end.checked_sub(start);
        let length = length.ok_or_else(|| Error::bad_request(ID, "the range ends before it begins"))?;
        let place = self.ctx.blobstore.take()?;
        let held = handle.blobs.reserve()?;
        let blobs = &handle.guest.capabilities.blobs;
        let open = async { Ok(blobs.open(&key, start, Some(length.saturating_add(1))).await?) };
        let reading = handle.bounded(ID, open).await?;
        let size = reading.left();
        let number = held.keep(Open::Reading(Box::new(reading), Bytes::new()));
        Ok(Incoming { number, size, _place: place })
    }
}

impl HostIncomingValue for Caller<'_> {
    async fn incoming_value_consume_sync(&mut self, this: Resource<Incoming>) -> Answer<Vec<u8>> {
        let value = self.table.delete(this)?;
        Ok(self.handle().value_read(value.number, value.size).await.map_err(said))
    }

    async fn incoming_value_consume_async(
        &mut self,
        this: Resource<Incoming>,
    ) -> Answer<Resource<DynInputStream>> {
        let value = self.table.delete(this)?;
        let stream = Input { handle: self.handle(), value, state: State::Open };
        Ok(Ok(self.table.push(Box::new(stream) as DynInputStream)?))
    }

    async fn size(&mut self, this: Resource<Incoming>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&this)?.size)
    }

    async fn drop(&mut self, this: Resource<Incoming>) -> wasmtime::Result<()> {
        let value = self.table.delete(this)?;
        self.ctx.blobs.close(value.number);
        Ok(())
    }
}

#[derive(Debug)]
enum State {
    Open,
    /// Told once; then it is closed.
    Failed(String),
    Closed,
}

/// A value as a stream. It holds one chunk, of at most a mebibyte, and asks for the next when that is read.
#[derive(Debug)]
struct Input {
    handle: Handle,
    value: Incoming,
    state: State,
}

impl Input {
    /// What stands behind it; without it the stream has failed, since a close would look like the value's end.
    fn lend(&mut self) -> Option<Lent> {
        match Lent::take(&self.handle.blobs, self.value.number) {
            Ok(lent) => Some(lent),
            Err(error) => {
                self.state = State::Failed(error.to_string());
                None
            }
        }
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        if !matches!(self.state, State::Open) {
            return;
        }
        let Some(mut lent) = self.lend() else { return };
        let Some(Open::Reading(reading, rest)) = lent.open() else { return };
        let mut end = None;
        while rest.is_empty() && end.is_none() {
            let next = self.handle.bounded(ID, async { Ok(reading.next().await?) });
            match next.await {
                Ok(Some(chunk)) => *rest = chunk,
                Ok(None) => end = Some(State::Closed),
                Err(error) => end = Some(State::Failed(said(error))),
            }
        }
        if let Some(end) = end {
            lent.close();
            self.state = end;
        }
    }
}

#[async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if matches!(self.state, State::Open)
            && let Some(mut lent) = self.lend()
        {
            let Some(Open::Reading(_, rest)) = lent.open() else { return Err(StreamError::Closed) };
            return Ok(rest.split_to(size.min(rest.len())));
        }
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Failed(text) => Err(StreamError::LastOperationFailed(wasmtime::format_err!("{text}"))),
            State::Open | State::Closed => Err(StreamError::Closed),
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.handle.blobs.close(self.value.number);
    }
}
