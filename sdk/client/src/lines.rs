//! Streams of JSON objects, one a line.

use bytes::{Buf, Bytes, BytesMut};
use futures::stream::{BoxStream, Stream, StreamExt, try_unfold};
use serde::de::DeserializeOwned;

use crate::{Client, Result};

struct Lines {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    buffer: BytesMut,
    /// How much of `buffer` is known to hold no line end.
    scanned: usize,
    bytes_max: usize,
    client: Client,
}

/// The objects of an answer; a line of more than `bytes_max` is an error.
pub(crate) fn lines<T: DeserializeOwned + Send>(
    client: &Client,
    response: reqwest::Response,
    bytes_max: usize,
) -> impl Stream<Item = Result<T>> + Send + use<T> {
    let lines = Lines {
        body: response.bytes_stream().boxed(),
        buffer: BytesMut::new(),
        scanned: 0,
        bytes_max,
        client: client.clone(),
    };
    try_unfold(lines, |mut lines| async move { Ok(lines.next().await?.map(|object| (object, lines))) })
}

impl Lines {
    async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        loop {
            while let Some(line) = self.take_line() {
                if !line.trim_ascii().is_empty() {
                    return self.parse(&line).map(Some);
                }
            }
            match self.body.next().await {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(error)) => return Err(self.client.broken(&error)),
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                None => {
                    let line = self.buffer.split();
                    return self.parse(&line).map(Some);
                }
            }
            if self.buffer.len() > self.bytes_max && !self.buffer.contains(&b'\n') {
                return Err(self.client.protocol("a line is too long"));
            }
        }
    }

    fn take_line(&mut self) -> Option<BytesMut> {
        let end = self.buffer.iter().skip(self.scanned).position(|byte| *byte == b'\n');
        let Some(end) = end else {
            self.scanned = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.scanned + end);
        self.buffer.advance(1);
        self.scanned = 0;
        Some(line)
    }

    /// An object, or the error object with which the server ends a stream that broke.
    fn parse<T: DeserializeOwned>(&self, line: &[u8]) -> Result<T> {
        serde_json::from_slice(line).map_err(|error| match serde_json::from_slice::<micro_api::Error>(line) {
            Ok(told) if told.code != 0 => crate::Error::Api(told),
            _ => self.client.protocol(error.to_string()),
        })
    }
}
