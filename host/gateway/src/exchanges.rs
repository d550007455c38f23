//! What is open on one connection, and for whom it waits.
//!
//! In HTTP/2 the socket does not tell: a client may answer every ping and yet ask nothing, or take nothing of an answer
//! for ever.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use micro_runtime::{Body, BoxError};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Answers leave in pieces of so many bytes: the server holds one for a client that does not read, and each that was
/// taken shows that the client reads.
const PIECE_BYTES: usize = 64 * 1024;

/// The requests of one connection that are being answered.
#[derive(Debug)]
pub(crate) struct Exchanges {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: u64,
    /// Since when the client is to take the next piece; none while it is not its turn.
    open: HashMap<u64, Option<Instant>>,
    /// Since when nothing is open.
    idle_since: Instant,
}

/// What is to be done with a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Alive,
    /// Nobody has asked for anything.
    Idle,
    /// An answer is not taken.
    Stalled,
}

impl Exchanges {
    pub(crate) fn new() -> Arc<Self> {
        let state = State { next: 0, open: HashMap::new(), idle_since: Instant::now() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Notes a request until what this returns is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Exchange {
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        state.open.insert(id, None);
        Exchange { of: Arc::clone(self), id }
    }

    pub(crate) fn verdict(&self, idle_max: Duration, stall_max: Duration) -> Verdict {
        let state = self.state.lock();
        if state.open.is_empty() {
            return if state.idle_since.elapsed() >= idle_max { Verdict::Idle } else { Verdict::Alive };
        }
        let stalled = state.open.values().flatten().any(|since| since.elapsed() >= stall_max);
        if stalled { Verdict::Stalled } else { Verdict::Alive }
    }
}

/// One request with its answer.
#[derive(Debug)]
pub(crate) struct Exchange {
    of: Arc<Exchanges>,
    id: u64,
}

impl Exchange {
    fn set(&self, client_since: Option<Instant>) {
        self.of.state.lock().open.insert(self.id, client_since);
    }

    /// Follows the answer to its last piece.
    pub(crate) fn into_response(self, response: Response<Body>) -> Response<Body> {
        response.map(|body| {
            if body.is_end_stream() {
                return body;
            }
            self.set(Some(Instant::now()));
            Followed { body, rest: Bytes::new(), exchange: self }.boxed_unsync()
        })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = self.of.state.lock();
        state.open.remove(&self.id);
        if state.open.is_empty() {
            state.idle_since = Instant::now();
        }
    }
}

/// A body that leaves in pieces, and tells whose turn it is.
struct Followed {
    body: Body,
    /// Of a frame that is larger than a piece.
    rest: Bytes,
    exchange: Exchange,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = BoxError;

    /// Whoever asks for a piece has taken the one before.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut frame = None;
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Pending => {
                    self.exchange.set(None);
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(next))) => match next.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => frame = Some(other),
                },
                Poll::Ready(end) => return Poll::Ready(end),
            }
        }
        self.exchange.set(Some(Instant::now()));
        let frame = frame.unwrap_or_else(|| {
            let length = self.rest.len().min(PIECE_BYTES);
            Frame::data(self.rest.split_to(length))
        });
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let inner = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;

    use super::*;
    use crate::respond;

    const SECOND: Duration = Duration::from_secs(1);

    fn verdict(exchanges: &Exchanges) -> Verdict {
        exchanges.verdict(2 * SECOND, SECOND)
    }

    #[tokio::test(start_paused = true)]
    async fn whose_turn_it_is_decides() {
        let exchanges = Exchanges::new();
        assert_eq!(verdict(&exchanges), Verdict::Alive);
        tokio::time::advance(2 * SECOND).await;
        assert_eq!(verdict(&exchanges), Verdict::Idle);
        let exchange = exchanges.begin();
        tokio::time::advance(5 * SECOND).await;
        assert_eq!(verdict(&exchanges), Verdict::Alive, "the service works");
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, BoxError>>(2);
        let stream = futures::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|frame| (frame, receiver))
        });
        let mut body =
            exchange.into_response(Response::new(StreamBody::new(stream).boxed_unsync())).into_body();
        tokio::time::advance(SECOND).await;
        assert_eq!(verdict(&exchanges), Verdict::Stalled, "nobody takes the first piece");
        assert!(futures::poll!(body.frame()).is_pending());
        tokio::time::advance(5 * SECOND).await;
        assert_eq!(verdict(&exchanges), Verdict::Alive, "the service has nothing to send");
        sender.send(Ok(Frame::data(Bytes::from(vec![7; PIECE_BYTES + 1])))).await.unwrap();
        drop(sender);
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!((first.len(), body.size_hint().lower()), (PIECE_BYTES, 1));
        tokio::time::advance(SECOND).await;
        assert_eq!(verdict(&exchanges), Verdict::Stalled);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 1);
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!(verdict(&exchanges), Verdict::Alive);
        tokio::time::advance(2 * SECOND).await;
        assert_eq!(verdict(&exchanges), Verdict::Idle);
    }

    #[test]
    fn a_small_answer_is_one_piece_of_known_length() {
        let exchange = Exchanges::new().begin();
        let body = exchange.into_response(Response::new(respond::full("small"))).into_body();
        assert_eq!(body.size_hint().exact(), Some(5));
    }
}
