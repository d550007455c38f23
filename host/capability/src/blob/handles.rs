//! What one instance writes and reads.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::wasi::Sending;
use super::{Error, Reading, Writing};

/// Most handles of an instance at once.
pub const HANDLES_MAX: usize = 16;

/// The handles of one instance, by their numbers, which are never used again.
#[derive(Debug, Default)]
pub(crate) struct Handles(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    last: u64,
    /// None: a call is at work on it.
    open: HashMap<u64, Option<Open>>,
}

/// What a handle stands for.
#[derive(Debug)]
pub(super) enum Open {
    Writing(Box<Writing>),
    /// With what was read of it and not given yet.
    Reading(Box<Reading>, Bytes),
    /// A value of `wasi:blobstore`, with what was written to its stream and not sent yet.
    Sending(Box<Sending>),
}

/// A handle that a call is at work on. Dropping it closes the handle.
#[derive(Debug)]
pub(super) struct Held {
    handles: Arc<Handles>,
    number: u64,
}

impl Handles {
    /// A new one.
    ///
    /// # Errors
    /// [`Error::Handles`].
    pub(super) fn reserve(self: &Arc<Self>) -> Result<Held, Error> {
        let mut table = self.0.lock();
        if table.open.len() >= HANDLES_MAX {
            return Err(Error::Handles);
        }
        table.last += 1;
        let number = table.last;
        table.open.insert(number, None);
        Ok(Held { handles: Arc::clone(self), number })
    }

    /// What `number` stands for, for one call alone.
    ///
    /// # Errors
    /// [`Error::Handle`] when it is not open, or another call is at work on it.
    pub(super) fn hold(self: &Arc<Self>, number: u64) -> Result<(Held, Open), Error> {
        let mut table = self.0.lock();
        let open = table.open.get_mut(&number).and_then(Option::take).ok_or(Error::Handle)?;
        Ok((Held { handles: Arc::clone(self), number }, open))
    }

    pub(super) fn close(&self, number: u64) {
        // What it stood for is dropped after the lock.
        let _closed = self.0.lock().open.remove(&number);
    }

    /// Closes all.
    pub(crate) fn clear(&self) {
        let _closed = std::mem::take(&mut self.0.lock().open);
    }
}

impl Held {
    /// Leaves the handle open, unless it was closed meanwhile.
    pub(super) fn keep(self, open: Open) -> u64 {
        if let Some(slot) = self.handles.0.lock().open.get_mut(&self.number) {
            *slot = Some(open);
        }
        self.number
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut table = self.handles.0.lock();
        // Something stands there after `keep`.
        if table.open.get(&self.number).is_some_and(Option::is_none) {
            table.open.remove(&self.number);
        }
    }
}
