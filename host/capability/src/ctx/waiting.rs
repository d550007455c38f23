//! What the calls of one instance hold on the host while they wait.
//!
//! A guest can start any number of asynchronous imports and wait for none of them, all with the same bytes of its memory,
//! and the host has a copy for each. So each counts what its arguments hold for as long as it runs, and one for which
//! there is no room is refused. An import of `micro:platform` gets its [`Handle`] nowhere but here, so none can forget it.
//! Those of `micro:platform-sync`, and the capabilities' own of `wasi:*`, stop the whole instance: one runs at a time.

use std::sync::Arc;

use micro_api::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{Access, Accessor};

use super::{Handle, handle, streaming_handle};
use crate::bindings::platform::micro::platform::types;
use crate::{HasCapability, View};

/// Bytes that the imports of one instance hold together: 16 values of the store of 4 MiB each, the largest that it takes,
/// or 7 messages of 10 MiB, and what goes along with them. Bytes that are not the same again and again lie in the guest's
/// own memory too, which is 128 MiB where nothing else is said.
const IMPORTS_BYTES_MAX: usize = 80 << 20;
/// What each counts at least, for its future and its places in tables: no more than 20 480 imports wait at once.
const BYTES_MIN: usize = 4 << 10;

/// Bytes that may be held at once.
#[derive(Debug, Clone)]
pub(super) struct Room {
    left: Arc<Semaphore>,
    bytes_max: usize,
}

impl Room {
    pub(super) fn of_imports() -> Self {
        Self::new(IMPORTS_BYTES_MAX)
    }

    pub(super) fn new(bytes_max: usize) -> Self {
        Self { left: Arc::new(Semaphore::new(bytes_max)), bytes_max }
    }

    /// Takes so many bytes until the permit is dropped; what is larger than all of it takes all. None: there is no room.
    pub(super) fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.clamp(BYTES_MIN, self.bytes_max)).unwrap_or(u32::MAX);
        Arc::clone(&self.left).try_acquire_many_owned(bytes).ok()
    }
}

/// Runs one import, whose arguments hold so many bytes; `call` owns them.
///
/// The guest's error is that of `call`, or 429 when there is no room for it beside those that wait.
pub(crate) fn waits<T: View, R, F>(
    store: &Accessor<T, HasCapability>,
    id: &'static str,
    bytes: usize,
    call: impl FnOnce(Handle) -> F,
) -> impl Future<Output = wasmtime::Result<Result<R, types::Error>>>
where
    F: Future<Output = Result<R, Error>>,
{
    answer(enter(store, id, bytes, handle).map(|(held, handle)| (held, call(handle))))
}

/// The same for the messages of a call, which are never taken for another call's.
pub(crate) fn waits_in_stream<T: View, R, F>(
    store: &Accessor<T, HasCapability>,
    id: &'static str,
    bytes: usize,
    call: impl FnOnce(Handle) -> F,
) -> impl Future<Output = wasmtime::Result<Result<R, types::Error>>>
where
    F: Future<Output = Result<R, Error>>,
{
    answer(enter(store, id, bytes, streaming_handle).map(|(held, handle)| (held, call(handle))))
}

fn enter<T: View>(
    store: &Accessor<T, HasCapability>,
    id: &'static str,
    bytes: usize,
    find: fn(&mut Access<'_, T, HasCapability>) -> Handle,
) -> Result<(OwnedSemaphorePermit, Handle), Error> {
    store.with(|mut access| {
        let held = access.get().imports.take(bytes).ok_or_else(|| no_room(id))?;
        Ok((held, find(&mut access)))
    })
}

fn no_room(id: &'static str) -> Error {
    Error::new(id, 429, "limit: calls: too many bytes wait: wait for calls that were started before")
}

async fn answer<R>(
    entered: Result<(OwnedSemaphorePermit, impl Future<Output = Result<R, Error>>), Error>,
) -> wasmtime::Result<Result<R, types::Error>> {
    let answer = match entered {
        Ok((_held, call)) => call.await,
        Err(error) => Err(error),
    };
    Ok(answer.map_err(Into::into))
}

/// Bytes of an argument that may be left out.
pub(crate) fn optional(argument: Option<impl AsRef<[u8]>>) -> usize {
    argument.map_or(0, |argument| argument.as_ref().len())
}

/// Bytes of a list of names and values, its own included.
pub(crate) fn pairs(list: &[(String, String)]) -> usize {
    let texts: usize = list.iter().map(|(name, value)| name.len() + value.len()).sum();
    size_of_val(list) + texts
}

#[cfg(test)]
mod tests;
