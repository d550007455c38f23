//! The bytes of a blob on their way out: a chunk at a time, counted, within the time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, Stream, StreamExt, try_unfold};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use micro_capability::Tally;
use micro_capability::blob::{Error, Reading};
use micro_runtime::{Body, BoxError};
use tokio::time::Sleep;

pub(super) struct Download {
    chunks: BoxStream<'static, Result<Bytes, Error>>,
    /// Bytes still to come.
    left: u64,
    tally: Arc<Tally>,
    due: Pin<Box<Sleep>>,
}

impl Download {
    /// A body that counts for `tally` and breaks off after `time_max`, or once the namespace may send no more.
    pub(super) fn body(reading: Reading, tally: Arc<Tally>, time_max: Duration) -> Body {
        let left = reading.left();
        let due = Box::pin(tokio::time::sleep(time_max));
        Self { chunks: checked(reading).boxed(), left, tally, due }.boxed_unsync()
    }
}

/// The chunks, the last of them once the whole is known to be good: whoever has as many bytes as were announced takes
/// them for the blob, and does not wait for an error after.
fn checked(reading: Reading) -> impl Stream<Item = Result<Bytes, Error>> + Send {
    let state = (reading, None::<Bytes>);
    try_unfold(state, |(mut reading, held)| async move {
        let held = match held {
            Some(held) => Some(held),
            None => reading.next().await?,
        };
        let Some(held) = held else { return Ok(None) };
        let next = reading.next().await?;
        Ok(Some((held, (reading, next))))
    })
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.tally.space().is_egress_closed() {
            return Poll::Ready(Some(Err("limit: egress_bytes: the month's are used up".into())));
        }
        if self.due.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err("limit: blob time: the download took too long".into())));
        }
        let Poll::Ready(next) = self.chunks.poll_next_unpin(context) else { return Poll::Pending };
        Poll::Ready(match next {
            None => None,
            Some(Ok(chunk)) => {
                let length = chunk.len() as u64;
                self.left = self.left.saturating_sub(length);
                self.tally.egress(length);
                Some(Ok(Frame::data(chunk)))
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "A download broke off");
                Some(Err(error.into()))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests;
