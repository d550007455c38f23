//! A call that runs by itself, in a task of its own, because its answer is a stream and whoever takes that may stop
//! asking: a connection that cannot send looks for nothing more to send. The guest's timers and its calls go on meanwhile.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::driver::Driver;
use crate::fault::Fault;
use crate::revision::Revision;
use crate::slot::Slot;

/// The call's end of it. Dropping it stops the call, [`Apart::leave`] lets it go on.
pub(crate) struct Apart {
    ended: Arc<Slot<Result<(), Fault>>>,
    left: oneshot::Sender<Instant>,
}

impl Apart {
    pub(crate) fn start(mut driver: Driver, revision: &Revision) -> Self {
        let ended = Slot::new();
        let (left, leaves) = oneshot::channel();
        let put = Arc::clone(&ended);
        revision.lane().spawn(async move {
            let until = tokio::select! {
                biased;
                ended = poll_fn(|cx| driver.poll(cx)) => return put.fill(ended),
                until = leaves => until,
            };
            if let Ok(until) = until {
                driver.set_deadline(until);
                // Nobody asks for the answer any more; a fault was logged.
                drop(poll_fn(|cx| driver.poll(cx)).await);
            }
        });
        Self { ended, left }
    }

    /// As [`Driver::poll`].
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Result<(), Fault>> {
        self.ended.poll_take(cx)
    }

    /// Lets the rest of the call run under another deadline.
    pub(crate) fn leave(self, deadline: Instant) {
        // It has ended where nobody hears this.
        let _ = self.left.send(deadline);
    }
}
