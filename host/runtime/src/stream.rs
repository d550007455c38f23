//! Calls whose endpoint streams.
//!
//! The messages of the caller go into a bounded queue while there is room, those of the guest come out of another. Who
//! stops reading makes the guest wait that sends more than there is room for, and nothing else of it; who drops
//! [`Replies`] cancels the call.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context as Cx, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use micro_api::Error;
use micro_capability::Context;
use micro_capability::streaming::{Far, Receiver, Sender, Shape, duplex};
use tokio::sync::mpsc;
use tokio::time::Sleep;
use wasmtime_wasi::runtime::AbortOnDropJoinHandle;

use crate::apart::Apart;
use crate::concurrent::Work;
use crate::driver::{Driver, Threads};
use crate::fault::Fault;
use crate::instance::Export;
use crate::revision::{Activity, Revision};
use crate::rpc::{self, Call};
use crate::runtime::{Runtime, bounded};
use crate::slot::Slot;

/// Messages of a caller, in the codec of the call. An error is the last one: the call fails with it.
pub type Requests = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// One call of an endpoint that streams.
pub struct StreamCall {
    /// Its `request` is the one message of an endpoint that takes no stream, and empty otherwise.
    pub call: Call,
    /// The messages of an endpoint that takes a stream; none for one that does not.
    pub requests: Option<Requests>,
    /// The endpoint replies with a stream, not with one message.
    pub replies_stream: bool,
}

impl std::fmt::Debug for StreamCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamCall")
            .field("call", &self.call)
            .field("takes_stream", &self.requests.is_some())
            .field("replies_stream", &self.replies_stream)
            .finish()
    }
}

/// What the guest replies, message by message; a fault is the last item. Dropping it cancels the call: the guest's
/// `receive` and `send` fail from then on, and it has as long as any call to finish its work.
pub struct Replies(Inner);

enum Inner {
    Live(Box<Live>),
    /// The call has a task of its own. None is the end of the replies; without it the task ended otherwise.
    Elsewhere {
        replies: mpsc::Receiver<Option<Result<Bytes, Fault>>>,
        is_over: bool,
        _task: AbortOnDropJoinHandle<()>,
    },
}

impl std::fmt::Debug for Replies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replies").finish_non_exhaustive()
    }
}

impl Stream for Replies {
    type Item = Result<Bytes, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            Inner::Live(live) => live.poll_reply(cx),
            Inner::Elsewhere { is_over: true, .. } => Poll::Ready(None),
            Inner::Elsewhere { replies, is_over, .. } => replies.poll_recv(cx).map(|reply| {
                let lost = || Some(Err(Fault::Host("the task of a stream ended".to_owned())));
                let reply = reply.unwrap_or_else(lost);
                *is_over = !matches!(reply, Some(Ok(_)));
                reply
            }),
        }
    }
}

impl Runtime {
    /// Calls an endpoint that streams. The whole call may take `http_total`, between two messages in whichever direction
    /// `http_idle`; each message has the size limits of a request and of an answer. A call whose endpoint streams in no
    /// direction has one reply.
    ///
    /// # Errors
    /// What goes wrong before the guest runs; later faults are the last item of the replies.
    pub async fn stream(&self, revision: &Arc<Revision>, call: StreamCall) -> Result<Replies, Fault> {
        if !crate::driver::is_inside_call() {
            let live = self.stream_live(revision, call, true).await?;
            return Ok(Replies(Inner::Live(Box::new(live))));
        }
        self.stream_apart(revision, call)
    }

    /// As for a call: a guest's call inside another's gets a task of its own, which ends with the replies.
    pub(crate) fn stream_apart(&self, revision: &Arc<Revision>, call: StreamCall) -> Result<Replies, Fault> {
        let runtime = self.me.upgrade().ok_or_else(|| Fault::Host("the runtime is gone".to_owned()))?;
        let (sender, replies) = mpsc::channel(1);
        let revision = Arc::clone(revision);
        let task = wasmtime_wasi::runtime::spawn(async move {
            match runtime.stream_live(&revision, call, false).await {
                Err(fault) => drop(sender.send(Some(Err(fault))).await),
                Ok(live) => relay(live, &sender).await,
            }
        });
        Ok(Replies(Inner::Elsewhere { replies, is_over: false, _task: task }))
    }

    async fn stream_live(
        &self,
        revision: &Arc<Revision>,
        call: StreamCall,
        leaves: bool,
    ) -> Result<Live, Fault> {
        let mut record = Record { revision: Arc::clone(revision), began: Instant::now(), failed: true };
        let limits = *revision.limits();
        let StreamCall { call: Call { endpoint, codec, request, context }, requests, replies_stream } = call;
        if context.deadline <= record.began {
            return Err(Fault::WallLimit);
        }
        if request.len() as u64 > limits.request_bytes {
            revision.log_fault(&Fault::RequestLimit, &context.request_id);
            return Err(Fault::RequestLimit);
        }
        let activity = revision.activity();
        let shape = Shape { takes: requests.is_some(), replies: replies_stream };
        let (near, mut far) = duplex(shape, limits.response_bytes);
        let stream = Some(near);
        let request = rpc::Request { endpoint, codec, bytes: request, stream };
        let slot = Slot::new();
        // A free instance is waited for no longer than for any call.
        let head = bounded(context.clone(), limits.wall);
        let context = bounded(context, limits.http_total);
        let driver = if self.is_concurrent(revision, Export::Handler) {
            let work = Work::Rpc { request: Some(request), slot: Arc::clone(&slot) };
            self.offer(revision, Export::Handler, &head, &context, work).await?;
            None
        } else {
            let start = self.start(revision, Export::Handler, &head).await?;
            let meter = start.meter();
            meter.begin(limits.cpu, self.config.front_cpu);
            let served =
                rpc::serve(Arc::clone(revision), start, Arc::clone(&context), request, Arc::clone(&slot));
            let driver = self.driver(revision, Box::pin(served), meter, &context, Threads::Front);
            // Whoever relays replies to a guest polls the call while none is taken, and for one reply it is polled always.
            let is_polled = !leaves || !replies_stream;
            Some(if is_polled { Guest::Here(driver) } else { Guest::Apart(Apart::start(driver, revision)) })
        };
        let fed = Arc::<AtomicU64>::default();
        let feeding = requests.zip(far.requests.take()).map(|(requests, to)| -> Feeding {
            Box::pin(feed(requests, to, limits.request_bytes, Arc::clone(&fed)))
        });
        record.failed = false;
        Ok(Live {
            driver,
            slot,
            far,
            feeding,
            fed,
            fed_seen: 0,
            broken: None,
            answer: None,
            replies_stream,
            leaves,
            idle: None,
            is_over: false,
            context,
            record,
            _activity: activity,
        })
    }
}

type Feeding = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send>>;

/// Why the caller's messages broke off. The guest must not take that for their end, so the way to it is still open.
struct Broken {
    fault: Fault,
    to: Sender,
}

/// Hands the caller's messages to the guest, until the last one, or until the guest takes no more.
async fn feed(mut requests: Requests, to: Sender, bytes_max: u64, fed: Arc<AtomicU64>) -> Result<(), Broken> {
    while let Some(message) = requests.next().await {
        let message = match message {
            Ok(message) if message.len() as u64 > bytes_max => {
                return Err(Broken { fault: Fault::RequestLimit, to });
            }
            Ok(message) => message,
            Err(error) => return Err(Broken { fault: Fault::Caller(error), to }),
        };
        if to.send(message).await.is_err() {
            break;
        }
        fed.fetch_add(1, Relaxed);
    }
    Ok(())
}

/// Passes replies on, until the last one or until whoever read them is gone. The call goes on while none is taken.
async fn relay(mut live: Live, replies: &mpsc::Sender<Option<Result<Bytes, Fault>>>) {
    loop {
        let reply = poll_fn(|cx| live.poll_reply(cx)).await;
        let is_last = reply.is_none();
        let place = tokio::select! {
            biased;
            place = replies.reserve() => place,
            never = poll_fn(|cx| live.poll_on(cx)) => match never {},
        };
        let Ok(place) = place else { return };
        place.send(reply);
        if is_last {
            return;
        }
    }
}

/// Counts the call once, whichever way it ends.
struct Record {
    revision: Arc<Revision>,
    began: Instant,
    failed: bool,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.revision.stats_cells().record(self.began.elapsed(), self.failed);
    }
}

/// A call whose replies are read.
struct Live {
    /// None once the call has ended, and where an instance that serves several runs it.
    driver: Option<Guest>,
    slot: Arc<Slot<rpc::Answer>>,
    far: Far,
    /// None once the caller has sent its last message.
    feeding: Option<Feeding>,
    /// Messages that went to the guest, and how many of them the idle clock knows of.
    fed: Arc<AtomicU64>,
    fed_seen: u64,
    /// Why the caller's messages broke off; what the guest sent before is read first.
    broken: Option<Fault>,
    /// What `handle` returned, or why it did not; the messages before it may not have been read yet.
    answer: Option<Result<Vec<u8>, Ended>>,
    replies_stream: bool,
    /// The replies leave the platform.
    leaves: bool,
    idle: Option<Pin<Box<Sleep>>>,
    is_over: bool,
    context: Arc<Context>,
    record: Record,
    _activity: Activity,
}

/// What runs the guest.
enum Guest {
    /// Whoever polls the call.
    Here(Driver),
    Apart(Apart),
}

impl Guest {
    fn poll(&mut self, cx: &mut Cx<'_>) -> Poll<Result<(), Fault>> {
        match self {
            Self::Here(driver) => driver.poll(cx),
            Self::Apart(apart) => apart.poll(cx),
        }
    }

    /// Lets the rest of the call run by itself until then.
    fn leave(self, deadline: Instant) {
        match self {
            Self::Here(mut driver) => {
                driver.set_deadline(deadline);
                driver.detach();
            }
            Self::Apart(apart) => apart.leave(deadline),
        }
    }
}

/// Why there is no answer.
struct Ended {
    fault: Fault,
    is_logged: bool,
}

impl Live {
    fn poll_reply(&mut self, cx: &mut Cx<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        // A guest on another thread may have a message ready at each poll: what watches the deadline comes first.
        if self.answer.is_none() && Instant::now() >= self.context.deadline {
            self.poll_guest(cx);
            if self.answer.is_none() {
                return self.fail(Fault::WallLimit, false);
            }
        }
        self.poll_feeding(cx);
        if let Poll::Ready(reply) = self.poll_sent(cx) {
            return Poll::Ready(reply);
        }
        if let Some(fault) = self.broken.take() {
            return self.fail(fault, false);
        }
        self.poll_guest(cx);
        if let Poll::Ready(reply) = self.poll_sent(cx) {
            return Poll::Ready(reply);
        }
        let Some(answer) = self.answer.take() else { return self.wait(cx) };
        // A poll may be refused where a task has done much at once, and the messages before the answer must not be lost.
        match self.far.replies.as_mut().and_then(Receiver::try_recv) {
            Some(message) => {
                self.answer = Some(answer);
                Poll::Ready(Some(Ok(self.replied(message))))
            }
            None => self.end(answer),
        }
    }

    /// Nobody takes a reply now: messages still go in, the guest runs as far as its queue has room, and its time passes.
    fn poll_on(&mut self, cx: &mut Cx<'_>) -> Poll<Infallible> {
        if !self.is_over {
            self.poll_feeding(cx);
            self.poll_guest(cx);
        }
        Poll::Pending
    }

    /// Hands the caller's messages on. When they broke off, the guest is told before it can see an end of them.
    fn poll_feeding(&mut self, cx: &mut Cx<'_>) {
        let Some(Poll::Ready(fed)) = self.feeding.as_mut().map(|feeding| feeding.as_mut().poll(cx)) else {
            return;
        };
        self.feeding = None;
        if let Err(Broken { fault, to }) = fed {
            self.far.cancel();
            drop(to);
            self.broken = Some(fault);
        }
    }

    /// A message that the guest sent.
    fn poll_sent(&mut self, cx: &mut Cx<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        let Some(replies) = self.far.replies.as_mut() else { return Poll::Pending };
        match replies.poll_recv(cx) {
            Poll::Ready(Some(message)) => Poll::Ready(Some(Ok(self.replied(message)))),
            Poll::Ready(None) if self.far.is_over() => self.fail(Fault::ResponseLimit, false),
            // The call has ended, or is about to: its answer says how.
            Poll::Ready(None) => {
                self.far.replies = None;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Runs the guest, and keeps what its call ended with.
    fn poll_guest(&mut self, cx: &mut Cx<'_>) {
        self.slot.register(cx);
        let ended = match self.driver.as_mut().map(|driver| driver.poll(cx)) {
            Some(Poll::Ready(ended)) => {
                self.driver = None;
                Some(ended)
            }
            Some(Poll::Pending) | None => None,
        };
        let answer = match (self.slot.take(), ended) {
            // The driver has logged it.
            (_, Some(Err(fault))) => Err(Ended { fault, is_logged: true }),
            (Some(answer), _) => answer.map_err(|fault| Ended { fault, is_logged: false }),
            (None, Some(Ok(()))) => {
                let fault = Fault::NoAnswer("the service ended without an answer".to_owned());
                Err(Ended { fault, is_logged: false })
            }
            (None, None) => return,
        };
        self.answer.get_or_insert(answer);
    }

    fn replied(&mut self, message: Bytes) -> Bytes {
        self.idle = None;
        if self.leaves {
            self.record.revision.guest().tally().egress(message.len() as u64);
        }
        message
    }

    fn end(&mut self, answer: Result<Vec<u8>, Ended>) -> Poll<Option<Result<Bytes, Fault>>> {
        if self.far.is_over() {
            return self.fail(Fault::ResponseLimit, false);
        }
        let bytes = match answer {
            Ok(bytes) => bytes,
            // Its own words for a `send` that the deadline ended: whichever of the two is seen first, the call says the same.
            Err(Ended { fault: Fault::Guest(_), .. }) if Instant::now() >= self.context.deadline => {
                return self.fail(Fault::WallLimit, false);
            }
            Err(Ended { fault, is_logged }) => return self.fail(fault, is_logged),
        };
        if self.replies_stream {
            if !bytes.is_empty() {
                let text =
                    "`handle` returned a message, and the endpoint replies with a stream: `send` it instead";
                return self.fail(Fault::NoAnswer(text.to_owned()), false);
            }
            self.finish();
            return Poll::Ready(None);
        }
        match rpc::check(Ok(bytes), self.record.revision.limits().response_bytes) {
            Ok(bytes) => {
                let bytes = self.replied(bytes);
                self.finish();
                Poll::Ready(Some(Ok(bytes)))
            }
            Err(fault) => self.fail(fault, false),
        }
    }

    fn fail(&mut self, fault: Fault, is_logged: bool) -> Poll<Option<Result<Bytes, Fault>>> {
        self.record.failed = !matches!(fault, Fault::Caller(_));
        if !is_logged {
            self.record.revision.log_fault(&fault, &self.context.request_id);
        }
        self.finish();
        Poll::Ready(Some(Err(fault)))
    }

    /// Nobody reads what the guest still sends. It gets as long as any call, to finish its work.
    fn finish(&mut self) {
        self.is_over = true;
        self.far.cancel();
        self.feeding = None;
        if let Some(driver) = self.driver.take() {
            let until = Instant::now() + self.record.revision.limits().wall;
            driver.leave(until.min(self.context.deadline));
        }
    }

    /// Nothing to do: no longer than a stream may be silent, or the call last.
    fn wait(&mut self, cx: &mut Cx<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        let fed = self.fed.load(Relaxed);
        if fed != self.fed_seen {
            self.fed_seen = fed;
            self.idle = None;
        }
        let silent_until = Instant::now() + self.record.revision.limits().http_idle;
        let until = silent_until.min(self.context.deadline);
        let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until.into())));
        if idle.as_mut().poll(cx).is_ready() { self.fail(Fault::WallLimit, false) } else { Poll::Pending }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if !self.is_over {
            self.finish();
        }
    }
}
