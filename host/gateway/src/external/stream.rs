//! A call that streams, as the Connect protocol has it: envelopes in the body of one POST, and in that of its answer.
//!
//! The platform sends messages as they come and passes replies on as they come. Over HTTP/1.1 many servers read a whole
//! request before they answer: with such a one, streams in both directions are half duplex.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use micro_api::Error;
use micro_capability::client::Replies;
use micro_capability::http::{Answering, Dial, Dialed, Outgoing, PostError};
use micro_runtime::{BoxError, Codec, Context, Requests};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{External, Flight, Node, REPLY_BYTES_MAX, TRIES, wire};
use crate::dispatch::Choice;
use crate::envelope::{self, Decoder, Envelope};

/// Longest time of one call, as of those that run here; its caller may have less.
const TIME_MAX: Duration = Duration::from_secs(300);
/// Longest body of an answer that is an error.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// One call.
struct Call {
    endpoint: String,
    codec: Codec,
    context: Context,
    choice: Choice,
}

/// A reply; none is the end.
type Item = Result<Option<Bytes>, Error>;

impl External {
    /// Begins a call that streams. It has a task of its own, which ends with the replies; one of them waits at most. It
    /// is not repeated, but a node that cannot be reached is left for another, since it never saw a message.
    pub(crate) fn stream(
        self: &Arc<Self>,
        endpoint: &str,
        codec: Codec,
        requests: Requests,
        mut context: Context,
        choice: &Choice,
    ) -> Replies {
        context.deadline = context.deadline.min(Instant::now() + TIME_MAX);
        let until = context.deadline;
        let (sender, receiver) = mpsc::channel::<Item>(1);
        let (external, id) = (Arc::clone(self), self.id());
        let call = Call { endpoint: endpoint.to_owned(), codec, context, choice: choice.clone() };
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            // All of it: also a reply that nobody takes, and data that keeps coming.
            let conversing = external.converse(call, requests, &sender);
            let ended = tokio::time::timeout_at(until.into(), conversing).await;
            let ended = ended.unwrap_or_else(|_| Err(external.failed(&PostError::Timeout)));
            // Whoever read the replies may be gone.
            let _ = sender.send(ended.map(|()| None)).await;
        }));
        let following = futures::stream::unfold(Some((receiver, task, id)), |state| async move {
            let (mut receiver, task, id) = state?;
            match receiver.recv().await {
                Some(Ok(Some(message))) => Some((Ok(message), Some((receiver, task, id)))),
                Some(Ok(None)) => None,
                Some(Err(error)) => Some((Err(error), None)),
                None => Some((Err(Error::internal(id, "the platform failed")), None)),
            }
        });
        Box::pin(following)
    }

    async fn converse(
        &self,
        call: Call,
        requests: Requests,
        replies: &mpsc::Sender<Item>,
    ) -> Result<(), Error> {
        let (node, dialed) = self.dial(&call).await?;
        let _flight = Flight::new(&node.in_flight);
        let headers = wire::stream_headers(&self.key.namespace, call.codec, &call.context);
        // Why the caller's messages broke off, which is no fault of the node.
        let broken = Arc::<OnceLock<Error>>::default();
        let body = outgoing(requests, Arc::clone(&broken));
        let mine = |error: PostError| broken.get().cloned().unwrap_or_else(|| self.failed(&error));
        let answered = dialed.post(&wire::path(&call.endpoint), headers, body).await;
        if broken.get().is_none() {
            node.told(&self.key, answered.as_ref().map(|answer| answer.status));
        }
        let mut answer = answered.map_err(mine)?;
        self.check_head(&mut answer, call.codec).await?;
        let mut decoder = Decoder::new(REPLY_BYTES_MAX);
        let odd = |what: String| Error::new(self.id(), 502, format!("{} runs elsewhere: {what}", self.id()));
        loop {
            let next = decoder.next();
            match next.map_err(|error| odd(format!("its answer cannot be read: {error}")))? {
                Some(Envelope::End(end)) => return envelope::ended(&self.id(), &end),
                Some(Envelope::Message(message)) => {
                    if replies.send(Ok(Some(message))).await.is_err() {
                        return Ok(());
                    }
                }
                None => match answer.next().await.map_err(mine)? {
                    Some(part) => decoder.push(&part),
                    None => return Err(odd("its answer broke off".to_owned())),
                },
            }
        }
    }

    /// A connection to a node that can be reached.
    async fn dial(&self, call: &Call) -> Result<(&Node, Dialed), Error> {
        let mut unreached = None;
        for _ in 0..TRIES.min(self.nodes.len()) {
            let Some(node) = self.choose(unreached, &call.choice) else { break };
            let (tls, port) = (node.address.tls, node.address.port);
            let dial = Dial { tls, host: node.address.host.clone(), port, until: call.context.deadline };
            match self.egress.dial(&self.key, &self.tally, dial).await {
                Ok(dialed) => return Ok((node, dialed)),
                Err(error) => {
                    node.told(&self.key, Err(&error));
                    if error != PostError::Unreached {
                        return Err(self.failed(&error));
                    }
                    unreached = Some(node);
                }
            }
        }
        Err(self.none_available(unreached))
    }

    /// 200 and the content type that was asked for; anything else is an error, as of a call that does not stream.
    async fn check_head(&self, answer: &mut Answering, codec: Codec) -> Result<(), Error> {
        let status = answer.status.as_u16();
        if status != 200 {
            let mut body = Vec::new();
            while let Ok(Some(part)) = answer.next().await {
                body.extend_from_slice(&part);
                if body.len() > ERROR_BYTES_MAX {
                    break;
                }
            }
            return Err(wire::error(&self.id(), status, &body));
        }
        let said = answer.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let said = said.and_then(|said| said.split(';').next()).unwrap_or_default().trim();
        let wanted = wire::stream_content_type(codec);
        if said == wanted {
            return Ok(());
        }
        let detail = format!("{} runs elsewhere: it answered {said:?}, not {wanted}", self.id());
        Err(Error::new(self.id(), 502, detail))
    }
}

/// The caller's messages as a body.
fn outgoing(requests: Requests, broken: Arc<OnceLock<Error>>) -> Outgoing {
    let frames = requests.map(move |message| match message {
        Ok(bytes) => Ok(Frame::data(envelope::message(&bytes))),
        Err(error) => {
            let error = broken.get_or_init(|| error);
            Err(BoxError::from(error.clone()))
        }
    });
    StreamBody::new(frames).boxed_unsync()
}
