//! Streaming calls of a test.

use std::future::Future;

use prost::Message;

use super::{Answer, World};
use crate::client::Codec;
use crate::host::Outbound;
use crate::streaming::{Replies, Requests};
use crate::{Context, Error, Service};

/// What a streaming endpoint answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streamed<Rsp> {
    /// Its replies in their order. One that replies with no stream has one here, or none when it failed.
    pub replies: Vec<Rsp>,
    /// What came after them.
    pub end: Result<(), Error>,
}

impl<Rsp> Streamed<Rsp> {
    /// The replies, unless an error came after them.
    ///
    /// # Errors
    /// What the endpoint returned.
    pub fn into_result(self) -> Result<Vec<Rsp>, Error> {
        self.end.map(|()| self.replies)
    }
}

impl World {
    /// Calls a streaming endpoint of a service as the platform would, and reads it to its end. One that takes no stream
    /// takes the first of `requests`.
    ///
    /// An endpoint that never ends is one for [`World::stream_some`].
    pub fn stream<Req: Message, Rsp: Message + Default>(
        &self,
        service: &Service,
        context: &Context,
        endpoint: &str,
        requests: impl IntoIterator<Item = Req>,
    ) -> Streamed<Rsp> {
        self.stream_some(service, context, endpoint, requests, usize::MAX)
    }

    /// As [`World::stream`], with a caller that leaves after `replies` of them: the endpoint's next call fails with 499.
    /// `end` is fine where the caller left.
    pub fn stream_some<Req: Message, Rsp: Message + Default>(
        &self,
        service: &Service,
        context: &Context,
        endpoint: &str,
        requests: impl IntoIterator<Item = Req>,
        replies: usize,
    ) -> Streamed<Rsp> {
        let streams = service.streams(endpoint);
        let mut requests = requests.into_iter().map(|request| request.encode_to_vec());
        let body = if streams.requests { None } else { requests.next() };
        let (service, context, name) = (service.clone(), context.clone(), endpoint.to_owned());
        let answer: Answer =
            Box::pin(async move { service.handle(&context, &name, body.unwrap_or_default()).await });
        let call = Outbound::begin(Some(streams), requests, true, answer);
        self.block_on(collect(endpoint, &call, replies))
    }

    /// Lets clients open streams of a service whose every endpoint answers with `answer`. It has the one request of an
    /// endpoint that takes no stream as a stream of one, and sends the one reply of an endpoint that replies with no
    /// stream.
    pub fn fake_stream<Req, Rsp, F>(
        &self,
        name: &str,
        answer: impl Fn(Requests<Req>, Replies<Rsp>) -> F + 'static,
    ) where
        Req: Message + Default + 'static,
        Rsp: Message + 'static,
        F: Future<Output = Result<(), Error>> + 'static,
    {
        let answer = std::rc::Rc::new(answer);
        self.insert(
            name,
            Codec::Protobuf,
            |_| None,
            move |request| {
                let answer = std::rc::Rc::clone(&answer);
                Box::pin(async move {
                    answer(Requests::inbound(&request.endpoint), Replies::inbound()).await?;
                    Ok(Vec::new())
                })
            },
        );
    }
}

async fn collect<Rsp: Message + Default>(endpoint: &str, call: &Outbound, most: usize) -> Streamed<Rsp> {
    let mut replies = Vec::new();
    while replies.len() < most {
        let next = match call.receive().await {
            Ok(Some(reply)) => Rsp::decode(reply.as_slice()).map_err(|error| {
                Error::internal_server_error("test", format!("a reply of {endpoint}: {error}"))
            }),
            Ok(None) => break,
            Err(error) => Err(error),
        };
        match next {
            Ok(reply) => replies.push(reply),
            Err(error) => return Streamed { replies, end: Err(error) },
        }
    }
    Streamed { replies, end: Ok(()) }
}
