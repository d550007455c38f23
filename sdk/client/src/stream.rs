//! Calls of endpoints that reply with a stream, through `/rpc`: Connect's envelopes, each with a message of JSON.

use bytes::{Buf, Bytes, BytesMut};
use futures::stream::{BoxStream, Stream, StreamExt, try_unfold};
use micro_api::routes::RPC;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::call::Call;
use crate::logs::FOLLOW_TIMEOUT;
use crate::transport::BODY_BYTES_MAX;
use crate::{Client, Error, Result};

#[cfg(test)]
mod tests;

/// Connect's streaming protocol with JSON.
const KIND: &str = "application/connect+json";
/// Flag and length.
const HEAD_BYTES: usize = 5;
/// The envelope is compressed. Nobody asked for that.
const COMPRESSED: u8 = 1;
/// The last envelope: an object that holds the error, if there is one.
const END: u8 = 2;

impl Client {
    /// Calls an endpoint and gives its replies as they come, JSON as a rule. One of an endpoint that does not stream is
    /// the only one. Dropping the stream cancels the call.
    ///
    /// An error of the service is the last item. A message above [`BODY_BYTES_MAX`] is an error, and a stream that ends
    /// without saying so.
    pub async fn stream(&self, call: &Call) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
        // `headers` replaces what every request says it accepts.
        let accept = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(KIND))]);
        let request = self.request(Method::POST, self.url(RPC, &[])).headers(accept).timeout(FOLLOW_TIMEOUT);
        let response = self.send(call.add_to(request)?).await?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let enveloped = kind.is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim() == KIND);
        let envelopes = Envelopes {
            body: response.bytes_stream().boxed(),
            buffer: BytesMut::new(),
            enveloped,
            ended: false,
            client: self.clone(),
        };
        Ok(try_unfold(envelopes, |mut envelopes| async move {
            Ok(envelopes.next().await?.map(|message| (message, envelopes)))
        }))
    }
}

struct Envelopes {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    buffer: BytesMut,
    /// Otherwise the whole body is one message.
    enveloped: bool,
    ended: bool,
    client: Client,
}

impl Envelopes {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.ended {
            if let Some((flags, message)) = self.take()? {
                match flags {
                    0 => return Ok(Some(message)),
                    END => {
                        self.ended = true;
                        return self.end(&message).map(|()| None);
                    }
                    COMPRESSED => return Err(self.client.protocol("a message is compressed")),
                    flags => return Err(self.client.protocol(format!("a message has the flags {flags}"))),
                }
            }
            match self.body.next().await {
                Some(chunk) => self.add(&chunk.map_err(|error| self.client.broken(&error))?)?,
                None if self.enveloped => {
                    let (address, reason) =
                        (self.client.address().to_string(), "the stream broke off".to_owned());
                    return Err(Error::Transport { address, reason });
                }
                None => {
                    self.ended = true;
                    return Ok(Some(self.buffer.split().freeze()));
                }
            }
        }
        Ok(None)
    }

    /// The next envelope, if all of it is there.
    fn take(&mut self) -> Result<Option<(u8, Bytes)>> {
        if !self.enveloped {
            return Ok(None);
        }
        let Some(&[flags, a, b, c, d]) = self.buffer.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > BODY_BYTES_MAX {
            return Err(self.too_large());
        }
        if self.buffer.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(HEAD_BYTES);
        Ok(Some((flags, self.buffer.split_to(length).freeze())))
    }

    fn add(&mut self, chunk: &[u8]) -> Result<()> {
        if !self.enveloped && self.buffer.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(self.too_large());
        }
        self.buffer.extend_from_slice(chunk);
        Ok(())
    }

    fn too_large(&self) -> Error {
        self.client.protocol(format!("a message is larger than {} MiB", BODY_BYTES_MAX >> 20))
    }

    /// What the last envelope says: Micro's error object where it is there, Connect's otherwise.
    fn end(&self, object: &[u8]) -> Result<()> {
        #[derive(serde::Deserialize)]
        struct End {
            error: Option<Told>,
        }
        #[derive(serde::Deserialize)]
        struct Told {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
            micro: Option<micro_api::Error>,
        }
        let end: End =
            serde_json::from_slice(object).map_err(|error| self.client.protocol(error.to_string()))?;
        match end.error {
            None => Ok(()),
            Some(Told { micro: Some(error), .. }) => Err(Error::Api(error)),
            Some(Told { code, message, .. }) => {
                Err(Error::Api(micro_api::Error::internal("micro", format!("{code}: {message}"))))
            }
        }
    }
}
