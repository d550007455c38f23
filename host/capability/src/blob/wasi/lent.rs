//! Handles that are lent to one call, which may be given up in the midst of it.

use std::sync::Arc;

use crate::blob::Error;
use crate::blob::handles::{Handles, Held, Open};

/// What stands behind a handle. It goes back when this is dropped, so that a guest that stops waiting for a stream, to
/// wait for another, loses nothing of it; and whatever stands in the table ends with the call.
#[derive(Debug)]
pub(super) struct Lent {
    held: Option<Held>,
    open: Option<Open>,
}

impl Lent {
    /// # Errors
    /// [`Error::Handle`] when it is not open, or another call is at work on it.
    pub(super) fn take(handles: &Arc<Handles>, number: u64) -> Result<Self, Error> {
        let (held, open) = handles.hold(number)?;
        Ok(Self { held: Some(held), open: Some(open) })
    }

    pub(super) fn open(&mut self) -> Option<&mut Open> {
        self.open.as_mut()
    }

    /// Closes the handle.
    pub(super) fn close(mut self) {
        self.open = None;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(held), Some(open)) = (self.held.take(), self.open.take()) {
            held.keep(open);
        }
    }
}
