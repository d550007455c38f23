//! Streams, through the bindings.

use super::codec;
use crate::bindings::service::micro::platform::{client, streaming};
use crate::{Error, Request};

/// The stream of the call that is being answered. The platform knows which one that is.
#[derive(Debug)]
pub(crate) struct Inbound(());

impl Inbound {
    pub(crate) fn current() -> Self {
        Self(())
    }

    pub(crate) async fn receive(&self) -> Result<Option<Vec<u8>>, Error> {
        Ok(streaming::receive().await?)
    }

    pub(crate) async fn send(&self, message: Vec<u8>) -> Result<(), Error> {
        Ok(streaming::send(message).await?)
    }
}

/// An open call of another service.
#[derive(Debug)]
pub(crate) struct Outbound(u64);

/// Opens a stream; the request's body is its one message unless the endpoint takes a stream.
pub(crate) async fn open(request: Request, takes_stream: bool) -> Result<Outbound, Error> {
    let body = (!takes_stream).then_some(request.body);
    let (codec, options) = (codec(request.codec), request.options.into());
    Ok(Outbound(client::open(request.service, request.endpoint, codec, body, options).await?))
}

impl Outbound {
    pub(crate) async fn send(&self, message: Vec<u8>) -> Result<(), Error> {
        Ok(client::send(self.0, message).await?)
    }

    pub(crate) async fn finish(&self) -> Result<(), Error> {
        Ok(client::finish(self.0).await?)
    }

    pub(crate) async fn receive(&self) -> Result<Option<Vec<u8>>, Error> {
        Ok(client::receive(self.0).await?)
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        client::close(self.0);
    }
}
