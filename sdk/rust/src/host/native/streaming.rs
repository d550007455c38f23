//! Streams between futures of one thread: whoever waits for a service polls it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::streaming::Streams;
use crate::test::with_state;
use crate::{Error, LocalFuture, Request};

/// So many messages wait in each direction, as on the platform.
const WAITING_MAX: usize = 16;

type Answer = LocalFuture<'static, Result<Vec<u8>, Error>>;

thread_local! {
    /// The streaming call whose future is polled now.
    static CURRENT: RefCell<Option<Rc<Call>>> = const { RefCell::new(None) };
}

/// One streaming call, as both sides see it.
#[derive(Debug)]
struct Call {
    /// None where nobody knows, as for a fake: every way is fine.
    streams: Option<Streams>,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    requests: VecDeque<Vec<u8>>,
    /// The caller has sent its last message.
    finished: bool,
    replies: VecDeque<Vec<u8>>,
    /// The caller reads no more.
    left: bool,
    /// Set when the service has returned: what comes after the replies.
    end: Option<Result<(), Error>>,
    /// The caller knows that.
    over: bool,
    waiting: Vec<Waker>,
}

impl State {
    fn changed(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn wait<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        self.waiting.push(context.waker().clone());
        Poll::Pending
    }
}

/// The stream of the call that is being answered.
#[derive(Debug)]
pub(crate) struct Inbound(Option<Rc<Call>>);

impl Inbound {
    pub(crate) fn current() -> Self {
        Self(CURRENT.with_borrow(Clone::clone))
    }

    pub(crate) async fn receive(&self) -> Result<Option<Vec<u8>>, Error> {
        let call = self.call(|streams| streams.requests, "the endpoint takes no stream")?;
        poll_fn(|context| {
            let mut state = call.state.borrow_mut();
            if let Some(message) = state.requests.pop_front() {
                state.changed();
                return Poll::Ready(Ok(Some(message)));
            }
            match (state.finished, state.left) {
                (true, _) => Poll::Ready(Ok(None)),
                (false, true) => Poll::Ready(Err(gone())),
                (false, false) => state.wait(context),
            }
        })
        .await
    }

    pub(crate) async fn send(&self, message: Vec<u8>) -> Result<(), Error> {
        let call = self.call(|streams| streams.replies, "the endpoint replies with no stream")?;
        let mut message = Some(message);
        poll_fn(|context| {
            let mut state = call.state.borrow_mut();
            if state.left {
                return Poll::Ready(Err(gone()));
            }
            if state.replies.len() >= WAITING_MAX {
                return state.wait(context);
            }
            state.replies.extend(message.take());
            state.changed();
            Poll::Ready(Ok(()))
        })
        .await
    }

    fn call(&self, side: impl Fn(Streams) -> bool, detail: &str) -> Result<&Call, Error> {
        let call = self.0.as_deref().filter(|call| call.streams.is_none_or(side));
        call.ok_or_else(|| Error::bad_request("go.micro.streaming", detail))
    }
}

fn gone() -> Error {
    canceled("go.micro.streaming", "the caller is gone")
}

/// 499 has no standard text.
fn canceled(id: &str, detail: &str) -> Error {
    Error { status: "Client Closed Request".to_owned(), ..Error::new(id, 499, detail) }
}

/// An open call, with the service that answers it.
pub(crate) struct Outbound {
    call: Rc<Call>,
    service: RefCell<Option<Answer>>,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("call", &self.call).finish_non_exhaustive()
    }
}

/// Opens a stream; the request's body is its one message unless the endpoint takes a stream.
pub(crate) async fn open(request: Request, takes_stream: bool) -> Result<Outbound, Error> {
    let Some(service) = with_state(|state| state.service(&request.service)) else {
        return Err(Error::not_found("go.micro.client", "service not found"));
    };
    let streams = (service.streams)(&request.endpoint);
    if takes_stream && streams.is_some_and(|streams| !streams.requests) {
        let detail = format!("endpoint `{}` takes one message, not a stream", request.endpoint);
        return Err(Error::bad_request("go.micro.client", detail));
    }
    // One message is a stream of one, where that is what the endpoint takes. A fake always does.
    let as_stream = !takes_stream && streams.is_none_or(|streams| streams.requests);
    let first = as_stream.then(|| request.body.clone());
    Ok(Outbound::begin(streams, first, !takes_stream, (service.answer)(request)))
}

impl Outbound {
    /// A call that `service` answers, with the requests that are there already.
    pub(crate) fn begin(
        streams: Option<Streams>,
        requests: impl IntoIterator<Item = Vec<u8>>,
        finished: bool,
        service: Answer,
    ) -> Self {
        let state = State { requests: requests.into_iter().collect(), finished, ..State::default() };
        let call = Rc::new(Call { streams, state: RefCell::new(state) });
        Self { call, service: RefCell::new(Some(service)) }
    }

    pub(crate) async fn send(&self, message: Vec<u8>) -> Result<(), Error> {
        let mut message = Some(message);
        poll_fn(|context| {
            self.drive(context);
            let mut state = self.call.state.borrow_mut();
            if state.over || state.finished {
                return Poll::Ready(Err(Error::bad_request(
                    "go.micro.client",
                    "the stream takes no more messages",
                )));
            }
            if state.end.is_some() {
                return Poll::Ready(Err(canceled(
                    "go.micro.client",
                    "the service takes no more messages of this stream",
                )));
            }
            if state.requests.len() >= WAITING_MAX {
                return state.wait(context);
            }
            state.requests.extend(message.take());
            state.changed();
            Poll::Ready(Ok(()))
        })
        .await
    }

    pub(crate) async fn finish(&self) -> Result<(), Error> {
        let mut state = self.call.state.borrow_mut();
        state.finished = true;
        state.changed();
        Ok(())
    }

    pub(crate) async fn receive(&self) -> Result<Option<Vec<u8>>, Error> {
        poll_fn(|context| {
            self.drive(context);
            let mut state = self.call.state.borrow_mut();
            if let Some(message) = state.replies.pop_front() {
                state.changed();
                return Poll::Ready(Ok(Some(message)));
            }
            match state.end.clone() {
                Some(end) => {
                    state.over = true;
                    Poll::Ready(end.map(|()| None))
                }
                None => state.wait(context),
            }
        })
        .await
    }

    /// Lets the service go on as far as it can.
    fn drive(&self, context: &mut Context<'_>) {
        let Some(mut service) = self.service.take() else { return };
        match polled(&self.call, service.as_mut(), context) {
            Poll::Pending => *self.service.borrow_mut() = Some(service),
            Poll::Ready(answer) => {
                let mut state = self.call.state.borrow_mut();
                let one_reply = self.call.streams.is_some_and(|streams| !streams.replies);
                state.end = Some(answer.map(|reply| {
                    if one_reply {
                        state.replies.push_back(reply);
                    }
                }));
                state.changed();
            }
        }
    }
}

/// The service sees that the caller is gone, and has one chance to end by itself.
impl Drop for Outbound {
    fn drop(&mut self) {
        self.call.state.borrow_mut().left = true;
        self.drive(&mut Context::from_waker(Waker::noop()));
    }
}

/// Polls the service with `call` as the current one.
fn polled(
    call: &Rc<Call>,
    service: Pin<&mut (dyn Future<Output = Result<Vec<u8>, Error>> + 'static)>,
    context: &mut Context<'_>,
) -> Poll<Result<Vec<u8>, Error>> {
    /// A service that panics is current no longer.
    struct Restore(Option<Rc<Call>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _restore = Restore(CURRENT.replace(Some(Rc::clone(call))));
    service.poll(context)
}
