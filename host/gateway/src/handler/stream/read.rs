//! The messages of a request's body.

use bytes::{Buf as _, Bytes, BytesMut};
use futures::StreamExt as _;
use http_body::Body as HttpBody;
use http_body_util::BodyExt as _;
use micro_api::Error;
use micro_runtime::Requests;

use crate::envelope::{Decoder, Envelope, Malformed};
use crate::place::GATEWAY;

/// A body whose parts hold messages.
struct Reading<B, D> {
    body: B,
    decoder: D,
    /// The body has ended.
    ended: bool,
}

/// Takes messages out of what a body's parts add.
trait Decode: Send + 'static {
    fn push(&mut self, part: &[u8]);
    /// The next message; none while it is not whole. `ended`: no part comes any more.
    fn next(&mut self, ended: bool) -> Result<Option<Bytes>, Error>;
}

/// The messages of envelopes, each of at most `bytes_max` bytes.
pub(super) fn envelopes<B>(body: B, bytes_max: usize) -> Requests
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
{
    messages(body, Decoder::new(bytes_max))
}

/// The messages of lines of JSON, each of at most `bytes_max` bytes; empty lines are none.
pub(super) fn lines<B>(body: B, bytes_max: usize) -> Requests
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
{
    messages(body, Lines { buffer: BytesMut::new(), searched: 0, bytes_max })
}

fn messages<B>(body: B, decoder: impl Decode) -> Requests
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
{
    let reading = Reading { body, decoder, ended: false };
    Box::pin(futures::stream::unfold(Some(reading), |state| async move {
        let mut reading = state?;
        loop {
            match reading.decoder.next(reading.ended) {
                Ok(Some(message)) => return Some((Ok(message), Some(reading))),
                Ok(None) if reading.ended => return None,
                Ok(None) => {}
                Err(error) => return Some((Err(error), None)),
            }
            match reading.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(part) = frame.into_data() {
                        reading.decoder.push(&part);
                    }
                }
                Some(Err(_)) => {
                    let detail = "the request ended before its body was complete";
                    return Some((Err(Error::bad_request(GATEWAY, detail)), None));
                }
                None => reading.ended = true,
            }
        }
    }))
}

/// The one message of a stream that has one.
pub(super) async fn only(mut messages: Requests) -> Result<Bytes, Error> {
    let bad = |detail: &str| Error::bad_request(GATEWAY, detail);
    let first =
        messages.next().await.ok_or_else(|| bad("the endpoint takes one message, and none came"))??;
    match messages.next().await {
        None => Ok(first),
        Some(Ok(_)) => Err(bad("the endpoint takes one message, and several came")),
        Some(Err(error)) => Err(error),
    }
}

impl Decode for Decoder {
    fn push(&mut self, part: &[u8]) {
        Self::push(self, part);
    }

    fn next(&mut self, ended: bool) -> Result<Option<Bytes>, Error> {
        let malformed = |error: Malformed| {
            let limit = if matches!(error, Malformed::TooLarge(_)) { "limit: request: " } else { "" };
            Error::new(GATEWAY, error.code(), format!("{limit}{error}"))
        };
        match Self::next(self).map_err(malformed)? {
            Some(Envelope::Message(bytes)) => Ok(Some(bytes)),
            Some(Envelope::End(_)) => Err(Error::bad_request(GATEWAY, "a request has no last envelope")),
            None if ended => self.finish().map(|()| None).map_err(malformed),
            None => Ok(None),
        }
    }
}

/// Lines; the last one needs no end.
struct Lines {
    buffer: BytesMut,
    /// So many bytes have no end of a line.
    searched: usize,
    bytes_max: usize,
}

impl Decode for Lines {
    fn push(&mut self, part: &[u8]) {
        self.buffer.extend_from_slice(part);
    }

    fn next(&mut self, ended: bool) -> Result<Option<Bytes>, Error> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            let found = rest.iter().position(|byte| *byte == b'\n').map(|at| self.searched + at);
            let length = found.unwrap_or(self.buffer.len());
            if length > self.bytes_max {
                let detail = format!("limit: request: a line is larger than {} bytes", self.bytes_max);
                return Err(Error::new(GATEWAY, 413, detail));
            }
            if found.is_none() && !ended {
                self.searched = length;
                return Ok(None);
            }
            let line = self.buffer.split_to(length).freeze();
            self.buffer.advance(usize::from(found.is_some()));
            self.searched = 0;
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(line));
            }
            if found.is_none() {
                return Ok(None);
            }
        }
    }
}
